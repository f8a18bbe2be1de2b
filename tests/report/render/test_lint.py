"""Whatever a template states by hand is found: a number, an amount in words, a comparison, a sum."""

import shutil
from pathlib import Path

import pytest

from dogcam.errors import ConfigError
from report.record.io import read_results
from report.render.lint import lint, require_clean
from report.render.loader import open_templates, templates_folder
from report.render.render import render
from tests.support.runs import assert_one_line, invoke

SECTION = "## Mine\n\n{}\n"


def folder_with(tmp_path: Path, text: str, name: str = "sections/95-mine.md.j2") -> Path:
    path = tmp_path / "own" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return tmp_path / "own"


def faults_of(tmp_path: Path, text: str, name: str = "sections/95-mine.md.j2") -> list[str]:
    own = folder_with(tmp_path, text, name)
    return [str(fault) for fault in lint(open_templates(own))]


def test_the_program_s_own_templates_are_clean():
    assert [str(fault) for fault in lint(open_templates())] == []


BY_HAND = {
    "digits": ("AP is 48.8 here.", "a number is written by hand: '48.8'"),
    "digits of another script": ("AP is \u0664\u0668.", "a number"),
    "a fraction sign": ("Found \N{VULGAR FRACTION ONE HALF} of them.", "a number"),
    "a superscript": ("x\N{SUPERSCRIPT FOUR}", "a number"),
    "an entity": ("AP is &#52;&#56;.", "'48.'"),
    "digits in a table": ("| a | b |\n|--|--|\n| AP | 48 |", ":5: a number"),
    "digits in a block of code": ("```\nAP = 48\n```", ":4: a number"),
    "digits in a link": ("[AP of 48](#x)", "a number"),
    "digits between expressions": ("{{ record.title }}48{{ record.title }}", "'48'"),
    "digits in a branch not taken": ("{% if false %}AP is 48.{% endif %}", "'48.'"),
    "digits in what is not rendered by jinja": ("{% raw %}48{% endraw %}", "'48'"),
    "digits in a constant": ("{{ 'AP is 48' }}", "'48'"),
    "digits in a variable": ("{% set ap = 'of 48' %}{{ ap }}", "'48'"),
    "digits in a list": ("{% for x in ['48'] %}{{ x }}{% endfor %}", "'48'"),
    "digits in a caption": ("{{ block('figure', name='x', caption='AP of 48.') }}", "'48.'"),
    "digits in a mapping": ("{{ {'a': '48'}[record.data.kind] }}", "'48'"),
    "an amount in words": ("Two thirds of the dogs were found.", "'Two'"),
    "twice": ("It finds twice the dogs.", "'twice'"),
    "half": ("Half of them are wrong.", "'Half'"),
    "ten": ("There are ten of them.", "'ten'"),
    "percent": ("Ninety per cent are right.", "'per cent'"),
    "a fold": ("A threefold gain.", "'threefold'"),
    "most": ("Most of the dogs were found.", "'Most of'"),
    "nearly all": ("Nearly all dogs were found.", "'Nearly all'"),
    "better": ("The map is better.", "a comparison is written by hand: 'is better'"),
    "better than": ("A map better at it than a box.", "'better at it than'"),
    "more than": ("It finds more dogs than the box.", "'more dogs than'"),
    "is higher": ("Its precision is much higher.", "'is much higher'"),
    "the best": ("Grad-CAM is the best of all.", "'is the best'"),
    "outperforms": ("Grad-CAM outperforms the box.", "'outperforms'"),
    "beats": ("Grad-CAM beats the box.", "'beats'"),
    "significant": ("The gain is significant.", "'significant'"),
    "as good as": ("It is as good as the box.", "'as good as'"),
    "ahead of": ("The map is ahead of the box.", "'ahead of'"),
    "a handful": ("A handful of dogs were missed.", "'A handful of'"),
    "not distinguishable": ("They are not distinguishable.", "'not distinguishable'"),
    "a word across lines": ("Worse\nthan the box.", "'Worse than'"),
    "a word with marks in it": ("It is bet*t*er.", "'is better'"),
    "a word with a comment in it": ("It is bet{# #}ter.", "'is better'"),
    "a word with a tag in it": ("It is bet{% if true %}ter{% endif %}.", "'is better'"),
    "a word with a sign of no width": ("It is bet\u200bter.", "'is better'"),
    "a word in parts": ("{{ 'bet' ~ 'ter' }}", "'better'"),
    "a comparison in a constant": ("{{ 'It is better.' if record.title else '' }}", "'is better'"),
    "a comparison by its sizes": (
        "{% if record.config.seed > record.config.batch_size %}x{% endif %}", "compares sizes",
    ),
    "a sum": ("{% set x = raw(record.config.seed) + raw(record.config.seed) %}", "arithmetic"),
    "a product in words": ("{{ 'x' * raw(record.config.seed) }}", "arithmetic"),
    "a format": ("{{ '%s' % raw(record.config.seed) }}", "arithmetic"),
    "a number as words": ("{{ raw(record.config.seed) | string }}", "the filter 'string'"),
    "joined numbers": ("{{ [raw(record.config.seed)] | join }}", "the filter 'join'"),
    "a rounded number": ("{{ raw(record.config.seed) | round }}", "the filter 'round'"),
    "a number called safe": ("{{ raw(record.config.seed) | safe }}", "the filter 'safe'"),
    "a number altered": ("{{ record.config.seed | count | replace('a', 'b') }}", "the filter 'replace'"),
    "a coordinate": ("{{ raw(record.config.seed) | coordinate }}", "coordinate"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BY_HAND)
def test_what_is_stated_by_hand_is_found(tmp_path, kind):
    planted, said = BY_HAND[kind]
    faults = faults_of(tmp_path, SECTION.format(planted))
    assert any(said in fault for fault in faults), faults
    assert all(fault.startswith(f"{tmp_path / 'own' / 'sections' / '95-mine.md.j2'}:") for fault in faults)


@pytest.mark.parametrize(
    ("page", "n_faults"),
    [
        ('<p style="width: 48px" class="a4">{{ raw(width) | coordinate }}</p>', 1),
        ('<svg viewBox="0 0 {{ (100 * raw(width)) | coordinate }} 48"><path d="M0 0l4 8"/></svg>', 0),
        ("<style>p { width: 48px }</style><script>let x = 48;</script>", 0),
        ("<p>AP is 48</p>", 1),
        ("<p>AP is\n\n<b>4</b>8</p>", 1),
        ('<img alt="48 dogs">', 1),
        ('<button aria-label="the better one"></button>', 1),
        ("<p>bet<b>ter</b></p>", 1),
    ],
)
def test_in_html_only_what_is_read_states_anything(tmp_path, page, n_faults):
    assert len(faults_of(tmp_path, page, "html/keyfacts.j2")) == n_faults


@pytest.mark.parametrize(
    ("style", "n_faults"),
    [
        ("p { width: 48px } p::after { content: ' \N{RIGHTWARDS ARROW}' }", 0),
        ("p::after { content: 'AP is 48' }", 1),
        (r"p::after { content: ' \2193' } q::after { content: '\34\38' }", 1),
        ('p::before\n{\n  content: "better than" attr(x) "48";\n}', 2),
    ],
)
def test_a_style_sheet_says_nothing_either(tmp_path, style, n_faults):
    faults = faults_of(tmp_path, style, "style.css")
    assert len(faults) == n_faults, faults


def test_a_fault_is_named_with_its_line(tmp_path):
    text = "## Mine\n\n{% if record.title %}\n{{ record.title }}\n{%- endif %}\n\nOne.\nAP is 48.\n"
    (fault,) = faults_of(tmp_path, text)
    assert fault.endswith("95-mine.md.j2:8: a number is written by hand: '48.'")


ALLOWED = '[[phrase]]\ntext = "ResNet-50"\nreason = "a name"\n'


def test_a_phrase_may_be_allowed_with_its_reason(tmp_path):
    folder_with(tmp_path, ALLOWED, "allowed.toml")
    assert faults_of(tmp_path, SECTION.format("This is a ResNet-50.")) == []
    (fault,) = faults_of(tmp_path, SECTION.format("This is a ResNet-50 with 49 layers."))
    assert "'49'" in fault


def test_a_phrase_may_be_allowed_in_one_file_alone(tmp_path):
    folder_with(tmp_path, ALLOWED + 'file = "sections/94-other.md.j2"\n', "allowed.toml")
    folder_with(tmp_path, SECTION.format("A ResNet-50."), "sections/94-other.md.j2")
    (fault,) = faults_of(tmp_path, SECTION.format("A ResNet-50."))
    assert "95-mine.md.j2:3:" in fault


def test_an_allowed_phrase_that_stands_nowhere_is_a_fault(tmp_path):
    folder_with(tmp_path, ALLOWED, "allowed.toml")
    (fault,) = faults_of(tmp_path, SECTION.format("Nothing."))
    assert fault.endswith("'ResNet-50' is allowed, but stands in no template")


@pytest.mark.parametrize(
    "entry",
    [
        '[[phrase]]\ntext = "x"\n',
        '[[phrase]]\ntext = "x"\nreason = ""\n',
        '[[phrase]]\ntext = "x"\nreason = "y"\nwhere = "z"\n',
        "[[phrase\n",
    ],
)
def test_an_entry_without_its_reason_is_refused(tmp_path, entry):
    own = folder_with(tmp_path, entry, "allowed.toml")
    with pytest.raises(ConfigError, match=r"allowed\.toml"):
        require_clean(open_templates(own))


SMUGGLED = {
    "a number as words": "{{ raw(record.operating_point.true_positives) | string }}",
    "a sum behind words": "{{ 'n' ~ (raw(record.operating_point.true_positives) + 1) }}",
    "a sum behind a number": "{{ (record.config.seed | count) ~ (raw(record.config.seed) - 1) }}",
    "joined numbers": "{{ [raw(record.config.seed)] | join }}",
    "a number called safe": "{{ raw(record.config.seed) | safe }}",
    "a number as words of nobody": "{{ (raw(record.config.seed) | string) | text }}",
    "a number as code": "{{ (raw(record.config.seed) | string) | code }}",
    "a coordinate": "{{ 48.8 | coordinate }}",
    "a literal": "AP is 48.8.",
    "a number in a format": "{{ '%d dogs' | format(raw(record.config.seed)) }}",
    "a digit replaced": "{{ record.config.seed | identifier | replace('7', '8') }}",
    "a number cut": "{{ (record.config.seed | identifier)[:-2] }}",
    "a number cut and closed": "{{ record.config.seed | identifier | truncate(3, true, '') }}",
    "a number without its element": "{{ record.config.seed | identifier | striptags }}",
    "a number in upper case": "{{ record.operating_point.precision.value | power | upper }}8",
    "a number as a heading": "### AP of {{ raw(record.config.seed) | string }}",
}


@pytest.mark.parametrize("trick", SMUGGLED)
def test_no_trick_brings_a_number_past_the_formatters(finished, tmp_path, trick):
    """Without the lint, which would refuse these too: rendering itself lets none through."""
    own = folder_with(tmp_path, SECTION.format(SMUGGLED[trick]))
    with pytest.raises(ConfigError, match=r"no formatter showed|a template (altered|cut)|lost its <data>"):
        render(read_results(finished), finished, open_templates(own))


def test_the_command_refuses_a_folder_with_faults_and_names_each(finished, tmp_path):
    own = folder_with(tmp_path, SECTION.format("It is 48 times better."))
    result = invoke(["check", str(finished), "--templates", str(own)])
    assert_one_line(result, 1, "2 faults")
    for said in ("95-mine.md.j2:3: a number", "95-mine.md.j2:3: a comparison"):
        assert said in result.stderr


def test_a_template_of_the_program_with_a_fault_is_refused(finished, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(templates_folder() / "sections", own / "sections")
    section = own / "sections" / "10-summary.md.j2"
    section.write_text(section.read_text(encoding="utf-8") + "\nIt reaches 99 %.\n", encoding="utf-8")
    assert_one_line(invoke(["check", str(finished), "--templates", str(own)]), 1, "(1 fault)")
