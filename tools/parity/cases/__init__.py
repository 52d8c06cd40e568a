"""One module or more per golden folder. Importing it registers its cases (tools.parity.case.golden)."""
