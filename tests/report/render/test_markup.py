"""The one reader of a rendered page."""

from report.render.markup import read_page

PAGE = """<main id="a"><p title="aloud">One <data value="1" data-ref="x.y">1</data></p>
<svg aria-label="not read" id="b"><text>2</text></svg><script>3</script><style>4</style>
<img id="c" src="data:x,5" alt="five"><data value="6" data-ref="z">6</data></main>"""


def test_numbers_ids_and_text_are_read():
    page = read_page(PAGE)
    assert page.numbers == [("1", "x.y"), ("6", "z")]
    assert page.ids == {"a", "b", "c"}
    assert [piece.text for piece in page.pieces if piece.kind == "read_out"] == ["aloud", "five"]
    text = "".join(piece.text for piece in page.pieces if piece.kind == "text")
    assert "".join(text.split()) == "One16"
    assert [piece.kind for piece in page.pieces if piece.kind in ("data", "end")] == ["data", "end"] * 2
