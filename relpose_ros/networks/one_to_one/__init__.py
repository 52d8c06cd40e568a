"""Correspondence classifiers: PointCN (LTFGC), OANet, MS2DG-Net, ConvMatch, CLNet, EOT, CNN one-to-one."""
