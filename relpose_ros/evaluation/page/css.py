"""The report's looks. No scripts, no fonts, nothing fetched."""

CSS = """
:root{color-scheme:light dark;--paper:#fbfbfa;--card:#fff;--ink:#1d2329;--muted:#5f6b76;--line:#e3e6e9;
--good:#2f9e6e;--warn:#c47a17;--bad:#d24b42;--blue:#3b82d6}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--ink:#e6e9ec;--muted:#9aa5b0;
--line:#30363c;--good:#4cc38f;--warn:#e5a443;--bad:#ee6f66}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Noto Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1180px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.55rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:44px 0 12px}
h3{font-size:1rem;margin:0 0 2px}
p{margin:0 0 8px}
.sub{color:var(--muted);font-size:.92rem;overflow-wrap:anywhere}
.verdict{font-size:1.1rem;max-width:62em;margin:18px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:18px 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:12px 14px;border-top:3px solid var(--line)}
.tile b{display:block;font-size:1.5rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:.85rem;display:block;line-height:1.35}
.good{border-top-color:var(--good)}.warn{border-top-color:var(--warn)}.bad{border-top-color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}
.card{padding:14px 14px 10px;margin:0;min-width:0}
.card p,figcaption{color:var(--muted);font-size:.88rem;line-height:1.45}
figcaption b{color:var(--ink);overflow-wrap:anywhere}
svg.plot{width:100%;height:auto;display:block;margin-top:6px}
svg.plot text{font-family:inherit!important}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:16px}
.gallery figure{overflow:hidden;padding:0}
.gallery img{width:100%;aspect-ratio:4/3;object-fit:contain;display:block;background:#0002}
.gallery figcaption{padding:10px 14px 12px}
.noimage{padding:40px 14px;text-align:center;color:var(--muted);background:var(--paper)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:7px 14px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--muted);font-weight:500}
.strong td:first-child{white-space:nowrap}
.num{font-variant-numeric:tabular-nums;white-space:nowrap}
.strong td.strong td:first-child{white-space:nowrap}
.num{font-weight:650}
.meaning{color:var(--muted)}
.tag{display:inline-block;font-size:.78rem;padding:0 7px;border-radius:9px;border:1px solid currentColor}
.tag.localized{color:var(--good)}.tag.degraded{color:var(--warn)}
.tag.unlocalized,.tag.false{color:var(--bad)}
ul.reasons{list-style:none;margin:8px 0 4px;padding:0;font-size:.88rem;color:var(--muted)}
ul.reasons b{color:var(--ink)}
summary{cursor:pointer;color:var(--blue);padding:6px 0}
code{font-size:.88em;overflow-wrap:anywhere;white-space:pre-wrap}
@media (max-width:560px){.tile b{font-size:1.25rem}.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
table.stack td{display:block;border:0;padding:1px 0}table.stack tr{display:block;padding:8px 0;
border-bottom:1px solid var(--line)}}
@media print{body{background:#fff}.card,.tile,figure{break-inside:avoid}}
"""
