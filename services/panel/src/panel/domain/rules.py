"""The rules of the defence: patterns over the folded form of a text, each with the words that a reader is told.

Add a rule with a test on both sides: a sentence that it must set aside, and that no labelled fact of the calibration
sets is touched.
"""

import re

Rules = tuple[tuple[re.Pattern[str], str], ...]


def _compile(*rules: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), rule) for pattern, rule in rules)


MARKUP = _compile(
    (r"<\s*[/!]?\s*[a-z][^>]{0,200}>|<\s*(?:script|iframe|img|svg|style|object|embed)\b", "a tag of HTML"),
    (r"&(?:[a-z]{2,8}|#x?[0-9a-f]{2,6});", "an HTML entity"),
    (r"<\|[^|]{1,40}\|>|\[/?inst\]|<</?sys>>|</?s>", "a control token of a language model"),
    (r"!?\[[^\]]{1,200}\]\([^)]{1,400}\)|```", "Markdown"),
    (r"\{\{|\{%|\$\{|\}\}", "a template expression"),
    (r"\bjavascript:|\bdata:text/html", "an address that runs code"),
)

_RATERS = (
    r"(?:reviewers?|judges?|jurors?|jury|panel(?:ists?)?|raters?|graders?|evaluators?|language models?|llms?|ais?)"
)
_RATE = r"(?:rate|score|vote|grade|judge|rank|recommend|award|endorse|approve|mark|assess|evaluate)"
_MUST = r"(?:must|should|shall|have to|has to|need to|needs to|ought to|are (?:to|required to|told to|instructed to))"
_PRIZE = (
    r"(?:ship|10|ten|100|hundred|perfect|full marks|highest|maximum|top|best|favou?rabl[ey]|positive(?:ly)?|stars?|"
    r"well|first|highly)"
)

ORDERS = _compile(
    (
        r"\b(?:ignore|disregard|forget|overrule|override|skip over|set aside|bypass)\b.{0,60}"
        r"\b(?:instructions?|prompts?|rules?|guidelines?|evidence|facts?|criteria|rubric|context|everything|above|"
        r"previous|prior)\b",
        "an order to disregard what came before",
    ),
    (
        r"\b(?:ignorier\w*|vergiss|ignorez|oubliez|ignora|ignore[ns]?|olvida)\b.{0,60}"
        r"\b(?:anweisung\w*|regeln|fakten|instructions?|consignes|faits|instrucciones|hechos|reglas)\b",
        "an order to disregard what came before, in another language",
    ),
    (rf"\b(?:dear |attention,? )?{_RATERS}\b.{{0,20}}\b{_MUST}\b", "an order to the reviewers"),
    (
        r"\b(?:dear|attention|note to|message (?:to|for)|instructions? (?:to|for))\b.{0,20}" rf"\b{_RATERS}\b",
        "addresses the reviewers",
    ),
    (
        rf"\byou {_MUST}\b.{{0,30}}\b(?:{_RATE}|give|say|answer|respond|reply|output|choose|pick|ship|continue)\b",
        "an order to the reader",
    ),
    (
        rf"(?:^|[.!?:;,]\s*|\bplease |\bnow |\balways |\bonly )(?:{_RATE}|give) "
        rf"(?:it|this|the (?:tool|product)|us)\b.{{0,50}}\b{_PRIZE}\b",
        "asks for a verdict",
    ),
    (r"(?:^|[.!?:;,]\s*)please (?:rate|score|vote|rank|recommend|ship|answer|say|give)\b", "asks for a verdict"),
    (
        r"\b(?:vote|say|answer|reply|output|respond|print|return|write)\b[ :]*(?:with |only |just |the word )*"
        r"[\"'“‘]?(?:ship|skip|yes|advantage|good|happy|10/10)\b",
        "dictates an answer",
    ),
    (r"\b(?:respond|answer|reply|continue) (?:only |just )?with\b", "dictates an answer"),
    (
        r"\bthe (?:only )?(?:correct|right|expected|final|true)? ?(?:answer|verdict|rating|score|continuation|word) "
        r"(?:here )?(?:is|must be)\b",
        "dictates an answer",
    ),
    (
        r"\b(?:system|developer) (?:prompt|message|instruction)s?\b|\b(?:new|updated|hidden|secret) instructions?\b",
        "speaks of the model's instructions",
    ),
    (r"^(?:system|assistant|user|developer|human|###\s*\w+)\s*:", "plays a turn of a conversation"),
    (
        r"\byou are (?:now |an? |the |no longer )\b.{0,40}\b(?:assistant|reviewer|judge|model|ai|bot|expert|fan)\b",
        "gives the reader a role",
    ),
    (
        r"\b(?:do not|don't|never|dont) (?:mention|count|report|consider|read|cite|use|weigh|show|trust)\b.{0,40}"
        r"\b(?:facts?|evidence|negatives?|weakness\w*|flaws?|others?|rest|downsides?|rivals?|competitors?)\b",
        "an order to leave something out",
    ),
    (
        rf"\b(?:all|any|every) {_RATERS}\b.{{0,30}}\b(?:agreed?|voted?|give|gave|say|said|chose|rated?)\b",
        "claims to speak for the reviewers",
    ),
)

HYPE = re.compile(
    r"\b(?:best(?:[ -]in[ -]class)?|greatest|finest|ultimate|perfect(?:ion)?|revolution\w*|game[ -]?chang\w*|"
    r"ground[ -]?break\w*|disrupt\w*|unmatched|unrivall?ed|unparallell?ed|unbeatable|peerless|incredibl[ey]|"
    r"amazing(?:ly)?|awesome|stunning|magical?(?:ly)?|world[ -]?class|world'?s|cutting[ -]edge|bleeding[ -]edge|"
    r"state[ -]of[ -]the[ -]art|next[ -]gen(?:eration)?|next[ -]level|mind[ -]?blowing|jaw[ -]dropping|blazing(?:ly)?|"
    r"lightning|insane(?:ly)?|legendary|phenomenal|extraordinary|outstanding|exceptional|brilliant|fantastic|"
    r"wonderful|superb|flawless(?:ly)?|effortless(?:ly)?|seamless(?:ly)?|must[ -]have|no[ -]brainer|number one|"
    r"no\. ?1|#1|10x|100x|1000x|supercharg\w*|skyrocket\w*|unleash\w*|empower\w*|transform\w*|visionary|leading|"
    r"premier|top[ -](?:notch|tier|rated)|future[ -]proof|loved?|loves|adored?|obsessed|unstoppable|limitless|"
    r"infinite|dream|genius|wow|epic|killer|rock[ -]?stars?|changes? everything|second to none|like never before|"
    r"nothing (?:else )?comes close|ever (?:made|built|created|seen)|of all time|the future)\b"
)

FILLERS = _compile(
    (r"\blorem ipsum\b|\bdolor sit amet\b", "placeholder text"),
    (
        r"^(?:n/?a|tbd|tba|todo|none|null|nil|unknown|test(?:ing)?|foo(?: bar)*(?: baz)?|x{2,}|-+|\.+|\?+)[.!?]*$",
        "placeholder text",
    ),
    (r"^(?:(\w)\1{2,}\W*)+$", "letters that make no words"),
    (
        r"\b(?:coming soon|to be (?:announced|determined|done|added)|watch this space|stay tuned|"
        r"more (?:information|details) (?:soon|follows?|to follow))\b",
        "an announcement of content",
    ),
    (
        r"^(?:for )?more (?:information|details)\b.{0,60}$|"
        r"^(?:click|see|visit|(?:read|learn) more|sign up|contact)\b.{0,40}\b(?:here|website|site|page|now|us)\b[.!]?$",
        "a pointer without content",
    ),
)

EMPTY_NUMBERS = re.compile(r"(?:#1|\b100 ?%|\b(?:10|100|1000)x\b|\bno\. ?1\b|\b24/7\b|\b10/10\b)")
"""Figures that say nothing."""

EMPTY_WORDS = frozenset(
    # Words that say nothing about a tool in particular.
    """a an the this that these those it its is are was were be been being will would can could may might must
    shall should do does did has have had of in on at to for from by with without and or but nor so than then as
    if when while which who whom whose what where why how not no yes all any each every everyone everybody
    everything anyone anything nothing someone something we our us you your they their them he she his i my me
    one very really truly simply just even ever never always again more most much many such only own same too
    also here there now today tomorrow forever out up down over under into about around tool tools software
    product products platform platforms solution solutions app apps application service services system systems
    technology technologies ai world market industry planet universe user users people customer customers team
    teams company companies business businesses developer developers way ways thing things work works use uses
    used using make makes made making get gets give gives give take takes experience experiences life lives time
    level power powerful quality great good better new modern innovative innovative innovation smart easy easily
    fast faster simple beautiful unique special ready results success value potential possibilities productivity
    workflow day days year years come comes close closer need needs want wants help helps know knows feel feels
    agree agrees create creates created build builds built exist exists existed existence history true
    absolutely totally completely literally hands possible impossible imagine imagined think believe trust class
    leap change changes""".split()  # noqa: SIM905 - a list of a hundred and fifty quoted words hides them
)
