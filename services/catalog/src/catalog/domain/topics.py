"""Which subjects a fact bears on: a table of rules, applied when a tool is published.

Personas and use cases weigh facts by these topics. A rule is a topic, the kinds of fact that always have it, and a
pattern that a statement may match. The table is deliberately plain: a wrong topic is repaired by a better pattern,
or by `topics:` on the fact in its file, which replaces the rules for that fact.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """``topic`` applies to every fact of ``kinds`` and to each statement in which ``pattern`` is found."""

    topic: str
    pattern: str
    kinds: tuple[str, ...] = ()


RULES: tuple[Rule, ...] = (
    Rule(
        "api",
        r"\bAPIs?\b|\bSDK\b|\bendpoint|\bgRPC\b|\bREST\b|OpenAI[- ](compatible|style|format)|\bproxy server\b|"
        r"interface as|\bHTTP\b|\bparameter selects",
    ),
    Rule(
        "compatibility",
        r"OpenAI[- ](compatible|style|format|API)|speaks the OpenAI|\bworks with|\bsupports? |\bsupported|"
        r"\bbackends?\b|\bclients?\b|\bplugin|\bVS Code\b|\bJetBrains\b|\bMCP\b|\bproviders\b|"
        r"\bwithout LangChain|JavaScript version|\bruns on\b|\bHub models\b|\bintegrat|partner table|"
        r"\brouted over|\brouting to",
    ),
    Rule(
        "self_hosting",
        r"self-?host|on-?prem|\bon-device|\bstays? on the device|\boffline\b|\blocal(ly)?\b|\bweights\b|"
        r"\bDocker\b|\bHelm\b|\bKubernetes\b|\bGGUF\b|consumer (GPU|hardware)|\bworkstation|"
        r"\bedge (and|inference|hardware|chips)|\bno cloud backend|\bopen[- ]source|\bone machine\b|"
        r"own servers|\bMacBook\b",
    ),
    Rule(
        "hardware",
        r"\bGPUs?\b|\bVRAM\b|\bNVIDIA\b|\bAMD\b|\bTPU\b|\bNPUs?\b|\bA10\b|\bA100\b|\bRTX\b|\bMacBook\b|"
        r"\bCUDA\b|\bphones?\b|\bhardware\b|\bedge\b|\bCPU\b|\b32-bit systems\b|\bworkstation\b|Hexagon",
    ),
    Rule(
        "memory",
        r"\bmemory\b|\bVRAM\b|\bGB\b(?! credit)|\b\d+(\.\d+)?[BM] parameters|\bparameters\b(?=.*\bbillion)|"
        r"\bbillion parameters|\b\d+B\b|\bquantis",
    ),
    Rule(
        "speed",
        r"\blatency\b|\bthroughput\b|\bfaster\b|\bspeedup\b|\b\d+(\.\d+)? ms\b|requests per second|"
        r"\breal-time\b|\bbuild slower|\bslows\b|\bbatch(ed|ing)\b|\bparallelism\b|\bbenchmarks?\b|\bMMLU\b|"
        r"\bminutes of a pull\b",
    ),
    Rule(
        "price",
        r"\bUSD\b|\bprices?\b|\bpricing\b|\bfee\b|\bcosts?\b(?! anomal)|\bmarkup\b|\bmargin\b|\bpaid\b",
        ("price",),
    ),
    Rule(
        "free_tier",
        r"\bfree (credit|account|plan|tier|model|request|open weights|monthly)|\bfree credit|"
        r"\bUSD of credit\b|free requests|\bFree plans\b|\bno licence fee\b",
    ),
    Rule(
        "billing",
        r"\bbill(s|ed|ing)?\b|\binvoice|\bcredits?\b(?! LiteLLM)|\bcharged\b|\bquotas?\b|premium requests?|"
        r"\bmarkup\b|\bfee\b|\btake-rate\b|per user and month|\bUSD a month\b",
    ),
    Rule(
        "budget_control",
        r"\bspend(ing)?\b|\bbudget|\bcost anomal|usage analytics|\bper-project\b|\bresource groups?\b|"
        r"\bspending limit|\bAborting a stream stops billing",
    ),
    Rule(
        "licence",
        r"\blicen[cs]e|\bApache 2\.0\b|\bMIT\b|\bA?GPL\b|\bMRL\b|\bopen weights\b|lists? no weights",
        ("licence",),
    ),
    Rule(
        "privacy",
        r"\btelemetry\b|\bprompts? (that )?(stays?|process|texts|are not)|\bprompts stay|\bnot sent\b|"
        r"\bAnalytics (are|never)|\bstored or logged\b|\bno cloud backend|\boffline\b|\bcollect(ed|s)\b|"
        r"turns cloud features off",
        ("privacy",),
    ),
    Rule(
        "security",
        r"\bCVE|\bvulnerab|\bmalicious\b|credential|\bstole\b|\binjection\b|\bexploit|\battacker\b|\bbotnet\b|"
        r"\bauthenticat|\bunreviewed\b|\bbuffer overflow\b|\bCross-origin\b|\bbinds 127|\bPYSEC|"
        r"\bknown bad nodes|\bvirtual keys\b|\bpayload on every Python start|\bCVSS\b|\bthat CVE\b|"
        r"withdrawn from PyPI|\bclean and only\b|\bguardrails?\b|\bvulnerable version|\bpatch shipped|"
        r"\bconfirmed fix|^It affects the Python server|\bSecurity patches\b|OpenAI pinned",
    ),
    Rule(
        "reliability",
        r"\bfailover\b|\bfallbacks?\b|\bretries\b|\boutages?\b|\bSLAs?\b|\bcorruption\b|\bpower loss\b|"
        r"\bRaft\b|\binvented\b|never spoken|\berrors?\b|\bRepetitive\b|\bhigh-risk\b|\bsaved after\b|"
        r"\bcheckpoint|\bpaused\b|\bperfect recall\b|\breasoning quality\b|\bstruggle\b|\bload balancing\b|"
        r"no accuracy loss|\bbuffer overflow\b|\bLinters and tests",
    ),
    Rule(
        "maintenance",
        r"\bmaint(enance|ained|ainers)\b|\barchived\b|\bread-only\b|\blast commit\b|\bnewest\b|\bstored tag\b|"
        r"\brelease|\bretired\b|\bbug fixes\b|\bfork\b|\bbeta\b|\bversion\b|\btagged\b|\bin progress\b|"
        r"\bpackages come out\b",
        ("maturity",),
    ),
    Rule(
        "adoption",
        r"\bdevelopers\b|\borganisations\b|\bpayers\b|\btokens a day\b|\btrillion tokens\b|\bAPI spend runs\b|"
        r"\bPyTorch ecosystem\b|\bcertified\b|\b500,000 models\b|\bdoubled\b",
    ),
    Rule(
        "competition",
        r"\bcompetitors?\b|\brivals?\b|\bthreat\b|credits LiteLLM|recommend vLLM|\bmodel hubs\b|\bcompete with",
    ),
    Rule(
        "vendor",
        r"\bacquired\b|\bfounded\b|\bvendor\b|\bYC\b|part of ClickHouse|\bnames ClickHouse|to buy OpenRouter|"
        r"\bthe sale\b|\bHugging Face says\b|\bSky Computing Lab\b",
        ("company",),
    ),
    Rule(
        "multimodal",
        r"\bimages?\b|\bvision\b|\baudio\b|\bspeech\b|\bvoice\b|\bdiffusion\b|\btransl|\btranscri|chat only",
    ),
    Rule(
        "structured_output",
        r"\bstructured outputs?\b|\bfunction calling\b|\btool (calls?|calling|schemas)\b|\bgrammars?\b|"
        r"constrained to JSON|constrain the output",
    ),
    Rule(
        "context_length",
        r"\bcontext\b(?! lengthens)|\bsequence length\b",
    ),
    Rule(
        "setup",
        r"\binstall|\bone-click\b|\bin five minutes\b|within five minutes|\bfirst ten minutes\b|\bsetup\b|"
        r"\bpip\b|\brepository name\b|\bdownload name\b|without dependencies|without special tooling|"
        r"\bDocker Compose\b|\bswaps the base URL\b|\bTerraform\b|Self-hosting needs|"
        r"\bbuilt-in authentication\b|\bcommand line\b",
    ),
    Rule(
        "documentation",
        r"\bdocuments its\b|\bdocumentation\b|\bmodel card (documents|lists|asks|says)|\bdocumented\b|\bFAQ\b|"
        r"skill files",
    ),
    Rule(
        "ease_of_use",
        r"\bone parameter\b|\bone-click\b|\bunified\b|\bfour functions\b|\bautomatically\b|\bwithout code\b|"
        r"\buser interface\b|\btechnical skill\b|\bvery low-level\b|\bdefault\b|surface stays the same|"
        r"\bnode graphs\b|\bone machine\b|\bVoice requests",
    ),
    Rule(
        "lock_in",
        r"\bunder the HF account\b|surface stays the same|\btake-rate\b|\bbuilt-in lock|"
        r"\bcustom provider key\b|\bOwn provider keys\b|\bcan be used without\b|\bself-?host(ed|ing)?\b|"
        r"\bopen weights\b|\bescape\b|\bcloud and local models\b|\bhosted platform\b",
    ),
    Rule(
        "observability",
        r"\btracing\b|\bTelemetry is\b|\bmetrics\b|\bobservability\b|usage analytics|\bbroken down by\b|"
        r"spend tracking|\bOpenTelemetry\b|\bconsolidated\b|\bnode outputs can be streamed",
    ),
    Rule(
        "limits",
        r"\bcapped\b|\bat most\b|\bonly\b(?= small| after)|\bchat only\b|\brequests a day\b|"
        r"\brequests a month\b|\ba limit\b|\bneeds a paid plan\b",
        ("limit",),
    ),
)
"""In the order of the personas' lists; a statement may match several."""

TOPICS: tuple[str, ...] = tuple(rule.topic for rule in RULES)
"""Every topic that a fact may have."""

_COMPILED = tuple((rule.topic, rule.kinds, re.compile(rule.pattern, re.IGNORECASE)) for rule in RULES)


def topics_of(kind: str, statement: str) -> tuple[str, ...]:
    """The topics of a fact by the rules; empty where none applies."""
    return tuple(topic for topic, kinds, pattern in _COMPILED if kind in kinds or pattern.search(statement))
