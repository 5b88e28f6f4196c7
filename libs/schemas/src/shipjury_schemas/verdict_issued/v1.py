"""verdicts.issued.v1: the panel issued a verdict on a tool."""

from datetime import date, datetime
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic

Verdict = Literal["ship", "skip", "undecided", "abstain"]
Level = Literal["judge", "tone_reader"]
Stance = Literal["for", "against", "unclear"]
Probability = float


class Interval(Part):
    """A 95 % interval."""

    low: float = Field(description="Lower bound.")
    high: float = Field(description="Upper bound.")


class Counts(Part):
    """Reviewers by verdict."""

    ship: int = Field(ge=0, description="Reviewers that say ship.")
    skip: int = Field(ge=0, description="Reviewers that say skip.")
    undecided: int = Field(ge=0, description="Reviewers whose score lies between the edges.")
    abstain: int = Field(ge=0, description="Reviewers without enough evidence.")
    recused: int = Field(default=0, ge=0, description="Reviewers whose model is made by the tool's vendor.")


class Answer(Part):
    """One structured field of a review, such as the Skeptic's `killed_by`."""

    field: str = Field(description="Name of the field, such as `moment_of_truth`.")
    label: str = Field(description="Name as shown, such as `Moment of truth`.")
    text: str | None = Field(description="The answer; null where the judge's level does not allow one.")
    fact_ids: tuple[str, ...] = Field(default=(), description="Facts that the answer quotes or cites.")


class Claim(Part):
    """One reason of a review with the evidence that it cites."""

    claim_id: str = Field(description="Id within the verdict, such as `builder-1`.")
    lead_in: str = Field(default="", description="Words that introduce the quote, by topic.")
    text: str = Field(description="The claim; at level `tone_reader` the quoted fact.")
    stance: Stance = Field(description="Whether it speaks for the tool.")
    probability: Probability = Field(ge=0, le=1, description="Probability that it speaks for the tool.")
    fact_ids: tuple[str, ...] = Field(description="Facts that it cites.")
    check: Literal["quoted", "supported", "contradicted", "unsupported"] = Field(
        description="What the check of the claim against its facts found."
    )
    counts: bool = Field(description="Whether it counts; one that does not is shown struck.")
    contradicted_by: tuple[str, ...] = Field(default=(), description="Facts that contradict it.")


class Review(Part):
    """One persona's review."""

    review_id: str = Field(description="Id of the review.")
    persona: str = Field(description="Id of the persona, such as `builder`.")
    persona_name: str = Field(description="Name as shown, such as `Builder`.")
    model: str = Field(description="Model that answered, as the gateway names it.")
    score: float | None = Field(default=None, ge=0, le=100, description="0 to 100; null where it abstains.")
    interval: Interval | None = Field(default=None, description="95 % interval of the score.")
    verdict: Verdict = Field(description="The persona's verdict.")
    recused: bool = Field(default=False, description="The model's vendor makes the tool; it does not count.")
    note: str | None = Field(default=None, description="Why it abstains or is recused.")
    answers: tuple[Answer, ...] = Field(default=(), description="The persona's fields, in its order.")
    claims: tuple[Claim, ...] = Field(default=(), description="Reasons, strongest first.")


class Reading(Part):
    """How the judge read one fact by itself."""

    fact_id: str = Field(description="The fact.")
    probability: Probability = Field(ge=0, le=1, description="Probability that it speaks for the tool.")
    stance: Stance = Field(description="`for` at or above .8, `against` at or below .2, else `unclear`.")


class SetAside(Part):
    """A fact that no model was shown."""

    fact_id: str = Field(description="The fact.")
    reason: Literal["order", "hype", "filler", "markup", "too_long"] = Field(description="Why it was set aside.")
    explanation: str = Field(description="The rule that matched, in words.")


class ExamProbe(Part):
    """One probe of the exam."""

    probe: str = Field(description="Name of the probe, such as `held_out_auc`.")
    label: str = Field(description="The probe in words.")
    value: float | None = Field(description="Measured figure (share or AUC); null where the probe was not sat.")
    interval: Interval | None = Field(default=None, description="95 % interval of the figure.")
    threshold: float | None = Field(description="What passes; null where it is only reported.")
    passed: bool | None = Field(description="Null where it is only reported or was not sat.")


class Exam(Part):
    """The exam record of the model that judged."""

    exam_id: str = Field(description="Hash over weights, prompts and engine build.")
    model: str = Field(description="Model that sat it.")
    level: Literal["judge", "tone_reader", "refused"] = Field(description="What it may be trusted with.")
    taken_at: datetime = Field(description="When (UTC).")
    probes: tuple[ExamProbe, ...] = Field(description="Every probe with its figure.")


class Agreement(Part):
    """How far the reviewers agree, and how many of them count as independent."""

    effective_votes: float = Field(description="Number of independent votes that the panel amounts to.")
    correlation: float | None = Field(default=None, description="Mean correlation of two personas' scores.")
    gwet_ac1: float | None = Field(default=None, description="Gwet's AC1 over the reviewers' verdicts.")
    krippendorff_alpha: float | None = Field(default=None, description="Krippendorff's alpha (nominal).")


class UseCase(Part):
    """The tool's score on the facts that bear on one use case; two tools' scores give a comparison."""

    use_case: str = Field(description="Id, such as `run_on_your_own_gpu`.")
    label: str = Field(description="The use case in words.")
    score: float | None = Field(description="0 to 100; null where too little evidence bears on it.")
    interval: Interval | None = Field(default=None, description="95 % interval of the score.")
    facts: int = Field(ge=0, description="Facts that bear on it.")
    strongest: str | None = Field(default=None, description="Fact that speaks most clearly for the tool.")
    weakest: str | None = Field(default=None, description="Fact that speaks most clearly against it.")


class Dispute(Part):
    """A contradiction inside the dossier."""

    subject: str = Field(description="What is in dispute, such as `Licence`.")
    fact_id: str = Field(description="One side.")
    other_fact_id: str | None = Field(description="The other side, where it is on record.")
    other_statement: str = Field(description="What the other side says.")


class Superseded(Part):
    """The verdict that this one replaces, and why."""

    verdict_id: str = Field(description="Id of the verdict that no longer stands.")
    verdict: Verdict = Field(description="What it said.")
    score: float | None = Field(default=None, description="The panel's score then.")
    issued_at: datetime = Field(description="When it was issued (UTC).")
    cause: Literal["evidence", "prompt", "model", "repeat"] = Field(description="What changed.")
    explanation: str = Field(description="What changed, in one sentence.")


class RunManifest(Part):
    """Everything needed to judge again and compare."""

    run_id: str = Field(description="Id of the run.")
    tool_version: int = Field(description="Version of the tool that was read.")
    evidence_hash: str = Field(description="SHA-256 (hex) over the hashes of the facts that were read.")
    prompt_hash: str = Field(description="SHA-256 (hex) over the frames and personas.")
    model: str = Field(description="Model as asked for at the gateway.")
    weights: str | None = Field(default=None, description="SHA-256 (hex) of the weights, where known.")
    engine: str | None = Field(default=None, description="Engine and build, where known.")
    seed: int | None = Field(default=None, description="Seed that was asked for.")
    parameters: dict[str, str] = Field(default_factory=dict, description="Other parameters of the calls.")
    requests: int = Field(ge=0, description="Calls to the gateway.")
    request_ids: tuple[str, ...] = Field(default=(), description="Gateway request ids, at most 100.")
    cost_nano_usd: int | None = Field(default=None, description="Cost in billionths of a US dollar.")


class VerdictIssued(Contract):
    """A panel's verdict with its reviews, its evidence and how far it can be trusted."""

    topic: ClassVar[Topic] = Topic(
        name="verdicts.issued.v1",
        key="tool_id",
        retention="forever",
        producer="panel",
        consumers=("catalog", "notifier"),
    )

    verdict_id: str = Field(description="UUID of the verdict.")
    tool_id: str = Field(description="The tool.")
    tool_slug: str = Field(description="Its name in addresses.")
    tool_name: str = Field(description="Its name as shown.")
    category: str = Field(description="Its category.")
    tool_version: int = Field(description="Version of the tool that was judged.")
    issued_at: datetime = Field(description="When (UTC).")
    verdict: Verdict = Field(description="The panel's verdict.")
    score: float | None = Field(default=None, ge=0, le=100, description="Mean of the reviewers' scores.")
    interval: Interval | None = Field(default=None, description="95 % interval of the score.")
    counts: Counts = Field(description="How many reviewers gave each verdict.")
    ship_share: float | None = Field(
        default=None, ge=0, le=1, description="Ships over the reviewers who decided; null if none decided."
    )
    ship_share_interval: Interval | None = Field(
        default=None, description="95 % Wilson interval of the share, over the effective votes."
    )
    level: Level = Field(description="What the judge may be trusted with.")
    exam: Exam = Field(description="The judge's exam figures.")
    agreement: Agreement = Field(description="Agreement and uncertainty.")
    reviews: tuple[Review, ...] = Field(description="One a persona.")
    readings: tuple[Reading, ...] = Field(default=(), description="How each fact was read.")
    set_aside: tuple[SetAside, ...] = Field(default=(), description="Facts that no model was shown.")
    disputes: tuple[Dispute, ...] = Field(default=(), description="Contradictions inside the dossier.")
    use_cases: tuple[UseCase, ...] = Field(default=(), description="Scores by use case.")
    facts_read: int = Field(ge=0, description="Facts that the judge read.")
    evidence_from: date | None = Field(default=None, description="Date of the oldest fact read.")
    evidence_to: date | None = Field(default=None, description="Date of the newest fact read.")
    supersedes: Superseded | None = Field(default=None, description="What it replaces; null for the first.")
    manifest: RunManifest = Field(description="How to judge again.")
