"""What a rule finds in the record: a status, a sentence, and the numbers that decide both."""

from dataclasses import dataclass

from report.record.base import Estimate
from report.record.claims import Form, Status
from report.record.refs import Ref


@dataclass(frozen=True)
class Part:
    """What is shown in place of a {name}: a ref, and the formatter that shows it."""

    name: str
    ref: Ref
    form: Form
    digits: int | None = None


@dataclass(frozen=True)
class Finding:
    """The result of a claim.

    Attributes:
        status: supported, contradicted or neither.
        sentence: without its full stop; {names} are parts.
        rests_on: the refs that decide status and wording.
        parts: what the sentence shows.
        lead: a short answer to put in front; empty for none.
        relation: the status in words; empty for those of a paired difference.
    """

    status: Status
    sentence: str
    rests_on: tuple[Ref, ...]
    parts: tuple[Part, ...]
    lead: str = ""
    relation: str = ""


def status_of(difference: Estimate) -> Status:
    """Return the status of "more than" from a paired difference with its interval."""
    interval = difference.interval
    if interval is None or interval.low is None or interval.high is None:
        return "not distinguishable"
    if interval.low > 0:
        return "supported"
    return "contradicted" if interval.high < 0 else "not distinguishable"
