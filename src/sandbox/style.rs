//! The style of the sandbox's page: light and dark, phone and desk. Nothing scrolls but the page itself.

pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c1c1e;--bg:#fbfaf7;--soft:#5c5c62;--line:#dcdad2;--go:#2a6560;--on:#fff;--card:#fff}\
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--bg:#161618;--soft:#a8a8ae;--line:#37373c;--go:#7cc4bc;--on:#10201e;--card:#1e1e21}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}\
h1{font-size:1.3rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.4rem 0 .6rem}h3{font-size:1rem;font-weight:600;margin:.3rem 0}.card>h2{margin:.2rem 0 .4rem;font-size:1rem}\
.card.one>h2{font-size:1.25rem;white-space:pre-wrap}p{margin:.4rem 0}.soft{color:var(--soft);font-size:.875rem}\
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.6rem 0 1rem;padding-bottom:.5rem;border-bottom:1px solid var(--line)}\
nav a{padding:.3rem 0;text-decoration:none}nav a[aria-current]{color:var(--fg);font-weight:600;border-bottom:2px solid var(--go)}\
a{color:var(--go)}h3 a{color:var(--fg)}form{margin:0}form.act{border-top:1px solid var(--line);margin-top:.9rem;padding-top:.3rem}label{display:block;margin:.6rem 0 .2rem}label.in{display:inline}\
textarea,input[type=text],input:not([type]),select{width:100%;max-width:100%;font:inherit;padding:.4rem .5rem;border:1px solid var(--soft);border-radius:.4rem;background:transparent;color:inherit}\
option,optgroup{color:#1c1c1e;background:#fff}button{font:inherit;padding:.45rem .9rem;margin-top:.5rem;border:1px solid var(--go);border-radius:.4rem;background:transparent;color:var(--go);cursor:pointer}\
button.first,.yours{background:var(--go);color:var(--on)}\
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem;align-items:start}\
.card{border:1px solid var(--line);background:var(--card);border-radius:.6rem;padding:.8rem 1rem;overflow-wrap:anywhere}\
.card.one{max-width:40rem}.thumb{display:block;width:100%;height:11rem;object-fit:contain;border-radius:.4rem;background:var(--line)}\
.pill{display:inline-block;font-size:.8125rem;line-height:1.3;padding:.15rem .6rem;border-radius:1rem;border:1px solid var(--go)}.pill:not(.yours){border-color:var(--line)}\
.one .thumb{height:24rem}.note{border-left:4px solid var(--go);padding:.1rem .8rem;margin:.8rem 0}.said{border-left:2px solid var(--line);padding-left:.7rem}\
.row{display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:end}code{font:.875rem ui-monospace,monospace;overflow-wrap:anywhere}";
