"""One HTML page of texts whose parts are marked by class: self-contained, no network, no server."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

__all__ = ["MOST_KINDS", "Kind", "Piece", "Section", "page"]

MOST_KINDS = 6
"""Classes that have colours of their own; more share a grey."""


class Kind(NamedTuple):
    """A class of marked parts."""

    key: str  # as pieces name it
    name: str  # as people read it, in the plural
    one: str  # the same of a single one, shown at a mark


class Piece(NamedTuple):
    """A part of a text."""

    text: str
    kind: str = ""  # the key of its class, or "" for plain text
    note: str = ""  # shown when the mouse rests on it


@dataclass(frozen=True)
class Section:
    """One text with its title and what else is to be said of it in a few words."""

    title: str
    pieces: Sequence[Piece]
    facts: str = ""


def page(
    title: str,
    kinds: Sequence[Kind],
    sections: Iterable[Section],
    *,
    lead: str = "",
    figures: Sequence[tuple[str, str]] = (),
    frequent: Sequence[tuple[str, Sequence[tuple[str, int]]]] = (),
) -> str:
    """Builds the page.

    Args:
      title: of the page.
      kinds: the classes, in the order of their colours.
      sections: the texts, in the order in which they are shown.
      lead: a sentence below the title.
      figures: (number, what it counts) at the top.
      frequent: (key of a class, [(text, how often), ...]): what is named most.

    Returns:
      The whole page; its language is English, its encoding UTF-8.
    """
    colour = {kind.key: f"k{min(place, MOST_KINDS)}" for place, kind in enumerate(kinds)}
    one = {kind.key: kind.one for kind in kinds}
    name = {kind.key: kind.name for kind in kinds}
    counts = "".join(
        f"<div><dd>{escape(number)}</dd><dt>{escape(what)}</dt></div>" for number, what in figures
    )
    toggles = "".join(
        f'<button type="button" class="{colour[kind.key]}" data-kind="{colour[kind.key]}" '
        f'aria-pressed="true"><mark class="{colour[kind.key]}">{escape(kind.name)}</mark></button>'
        for kind in kinds
    )
    most = "".join(
        f"<section><h2>{escape(name[key].capitalize())}</h2><ol>"
        + "".join(
            f'<li><button type="button" data-find="{escape(text)}"><mark class="{colour[key]}">'
            f"{escape(text)}</mark> {count:,}</button></li>"
            for text, count in named
        )
        + "</ol></section>"
        for key, named in frequent
        if named
    )
    articles = "\n".join(_article(section, colour, one) for section in sections)
    fills = {
        "TITLE": escape(title),
        "STYLE": _STYLE + _colours(),
        "LEAD": f'<p class="lead">{escape(lead)}</p>' if lead else "",
        "FIGURES": f"<dl>{counts}</dl>" if counts else "",
        "TOGGLES": toggles,
        "FREQUENT": f'<aside class="most" aria-label="named most">{most}</aside>' if most else "",
        "ARTICLES": articles,
        "SCRIPT": _SCRIPT,
    }
    parts = _PAGE.split("@@")
    return "".join(fills[part] if i % 2 else part for i, part in enumerate(parts))


def _article(section: Section, colour: dict[str, str], one: dict[str, str]) -> str:
    text = "".join(
        f'<mark class="{colour[piece.kind]}" data-one="{escape(one[piece.kind])}" '
        f'title="{escape(one[piece.kind])}{escape(piece.note and ": " + piece.note)}">'
        f"{escape(piece.text)}</mark>"
        if piece.kind in colour
        else escape(piece.text)
        for piece in section.pieces
    )
    facts = f"<span>{escape(section.facts)}</span>" if section.facts else ""
    return (
        f"<article><h2>{escape(section.title)}{facts}</h2>"
        f'<div class="text">{text}</div>'
        '<button type="button" class="more">Show all</button></article>'
    )


# Text colours keep a contrast of at least 7 to 1 with their background. The line below a mark
# tells the classes apart where colours do not.
_LIGHT = ["#cfe3ff", "#c8efd4", "#ffe1a3", "#ecd4f8", "#ffd3cf", "#c9eef2", "#dddddd"]
_LIGHT_LINE = ["#1857b4", "#13713a", "#8a5800", "#77309f", "#b3261e", "#00677a", "#555555"]
_DARK = ["#153a69", "#124a2c", "#573c00", "#4b2166", "#681d18", "#0b464f", "#444444"]
_DARK_LINE = ["#8fbdff", "#7fdda0", "#ffc65c", "#dba6f7", "#ffaea6", "#7edbe8", "#bbbbbb"]
_LINES = ["solid", "double", "dotted", "dashed", "wavy", "solid", "solid"]


def _colours() -> str:
    def rules(backs: Sequence[str], lines: Sequence[str]) -> str:
        return "".join(
            f".k{i}{{--back:{back};--line:{line}}}"
            for i, (back, line) in enumerate(zip(backs, lines, strict=True))
        )

    styles = "".join(f"mark.k{i}{{text-decoration-style:{line}}}" for i, line in enumerate(_LINES))
    dark = f"@media (prefers-color-scheme:dark){{{rules(_DARK, _DARK_LINE)}}}"
    off = "".join(
        f".off-k{i} .text mark.k{i}{{background:none;text-decoration:none}}"
        f".off-k{i} .text mark.k{i}::after{{content:none!important}}"
        for i in range(MOST_KINDS + 1)
    )
    return rules(_LIGHT, _LIGHT_LINE) + dark + styles + off


_STYLE = """
:root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#1a1a1a;--soft:#595959;
--edge:#d9d9d4;--focus:#1857b4;--found:#ffef5c;--found-ink:#000}
@media (prefers-color-scheme:dark){:root{--page:#121314;--card:#1b1d1f;--ink:#ececec;
--soft:#a9adb1;--edge:#36393d;--focus:#8fbdff;--found:#e6d000}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.wide{max-width:84rem;margin:auto;padding:0 1.25rem}
h1{font-size:1.7rem;line-height:1.2;margin:1.6rem 0 .3rem}
.lead{color:var(--soft);margin:0 0 1rem;max-width:70ch}
dl{display:flex;flex-wrap:wrap;gap:.4rem 2rem;margin:0 0 1rem}
dl div{display:flex;flex-direction:column}
dd{margin:0;font-size:1.35rem;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.3}
dt{color:var(--soft);font-size:.85rem}
.bar{position:sticky;top:0;z-index:1;background:var(--page);border-bottom:1px solid var(--edge)}
.bar .wide{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;padding-block:.6rem}
input{font:inherit;flex:1 1 14rem;min-width:0;padding:.35rem .7rem;color:inherit;
background:var(--card);border:1px solid var(--edge);border-radius:.5rem}
button{font:inherit;color:inherit;background:none;border:1px solid var(--edge);
border-radius:.5rem;padding:.2rem .55rem;cursor:pointer}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px}
button[aria-pressed=true]{border-color:var(--soft)}
[data-kind][aria-pressed=false]{border-style:dashed}
[aria-pressed=false] mark{background:none;text-decoration:line-through}
#count{color:var(--soft);font-size:.9rem;font-variant-numeric:tabular-nums}
mark{background:var(--back);color:inherit;border-radius:.25rem;padding:.05em .18em;
text-decoration-line:underline;text-decoration-color:var(--line);text-decoration-thickness:2px;
text-underline-offset:.2em;-webkit-box-decoration-break:clone;box-decoration-break:clone}
.named .text mark::after{content:attr(data-one);font-size:.68em;margin-left:.35em;
color:var(--ink);opacity:.85;letter-spacing:.02em;display:inline-block}
.most{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem;
margin:1.2rem 0}
.most h2{font-size:.95rem;margin:0 0 .35rem;color:var(--soft);font-weight:600}
.most ol{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.3rem}
.most button{border-color:transparent;padding:.05rem .2rem;font-size:.9rem;
font-variant-numeric:tabular-nums}
main{scroll-margin-top:4rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));
gap:1rem;padding-block:1rem 3rem;align-items:start}
article{background:var(--card);border:1px solid var(--edge);border-radius:.8rem;
padding:.9rem 1.1rem;content-visibility:auto;contain-intrinsic-size:auto 22rem}
article h2{font-size:1.05rem;margin:0 0 .4rem;display:flex;flex-wrap:wrap;gap:0 .8rem;
align-items:baseline;justify-content:space-between}
article h2 span{font-size:.82rem;font-weight:400;color:var(--soft)}
.text{white-space:pre-wrap;overflow-wrap:anywhere;max-height:15.5rem;overflow:hidden;
-webkit-mask-image:linear-gradient(#000 80%,transparent);
mask-image:linear-gradient(#000 80%,transparent)}
.open .text,.short .text{max-height:none;-webkit-mask-image:none;mask-image:none}
.more{margin-top:.5rem;font-size:.88rem}.short .more{display:none}
[hidden]{display:none!important}
::highlight(found){background-color:var(--found);color:var(--found-ink)}
@media (max-width:40rem){.wide{padding-inline:.8rem}h1{font-size:1.35rem}
.bar{position:static}article{padding:.75rem .85rem}}
@media print{.bar,.more,.most{display:none}.text{max-height:none;mask-image:none}}
"""

_SCRIPT = """
const $=(s,e=document)=>[...e.querySelectorAll(s)],find=document.getElementById('find'),
count=document.getElementById('count'),articles=$('article'),main=document.querySelector('main');
const parts=a=>[a.querySelector('h2').firstChild,a.querySelector('.text')];
const text=new Map(articles.map(a=>[a,parts(a).map(p=>p.textContent.toLowerCase())]));
const open=(a,yes)=>{a.classList.toggle('open',yes);const b=a.querySelector('.more');
b.textContent=yes?'Show less':'Show all';b.setAttribute('aria-expanded',yes)};
for(const a of articles){const t=a.querySelector('.text');
if(t.textContent.length<420&&t.scrollHeight<=t.clientHeight+4)a.classList.add('short');
open(a,false);a.querySelector('.more').onclick=()=>open(a,!a.classList.contains('open'))}
function ranges(a,q){const out=[];parts(a).forEach((part,k)=>{
const nodes=[],ends=[],w=document.createTreeWalker(part,NodeFilter.SHOW_TEXT);let end=0;
if(part.nodeType===3){nodes.push(part);ends.push(part.length)}
else for(let n;(n=w.nextNode());){nodes.push(n);ends.push(end+=n.length)}
const at=i=>{const n=ends.findIndex(e=>i<=e);return[nodes[n],i-(n?ends[n-1]:0)]};
for(let i=-1,s=text.get(a)[k];(i=s.indexOf(q,i+1))>=0;){const r=new Range();
try{r.setStart(...at(i));r.setEnd(...at(i+q.length));out.push(r)}catch{}}});return out}
function filter(){const q=find.value.trim().toLowerCase();let n=0,found=[];
for(const a of articles){const hit=!q||text.get(a).some(t=>t.includes(q));a.hidden=!hit;n+=hit;
if(q&&hit){found.push(...ranges(a,q));open(a,true)}else open(a,false)}
count.textContent=(q?n+' of ':'')+articles.length+' streams';
if(window.CSS&&CSS.highlights)CSS.highlights.set('found',new Highlight(...found))}
let wait;find.oninput=()=>{clearTimeout(wait);wait=setTimeout(filter,120)};
$('[data-find]').forEach(b=>b.onclick=()=>{find.value=b.dataset.find;filter();find.focus();
main.scrollIntoView()});
$('[data-kind]').forEach(b=>b.onclick=()=>{const on=b.getAttribute('aria-pressed')!=='true';
b.setAttribute('aria-pressed',on);document.body.classList.toggle('off-'+b.dataset.kind,!on)});
document.getElementById('named').onclick=e=>{const b=e.currentTarget,
on=b.getAttribute('aria-pressed')!=='true';b.setAttribute('aria-pressed',on);
document.body.classList.toggle('named',on)};
filter();
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>@@TITLE@@</title>
<link rel="icon" href="data:,">
<style>@@STYLE@@</style>
</head>
<body>
<header class="wide"><h1>@@TITLE@@</h1>@@LEAD@@@@FIGURES@@</header>
<div class="bar"><div class="wide" role="search">
<input id="find" type="search" placeholder="Find a stream, a name or a word" \
aria-label="Find a stream, a name or a word">
<span id="count" role="status"></span>
@@TOGGLES@@
<button type="button" id="named" aria-pressed="false">show classes</button>
</div></div>
<div class="wide">@@FREQUENT@@</div>
<main class="wide">
@@ARTICLES@@
</main>
<script>@@SCRIPT@@</script>
</body>
</html>
"""
