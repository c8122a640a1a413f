"""cr.data.text: tables, folders and lines of texts."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.data import TextData, as_table, read_lines, read_texts
from chainrule.data.text_reading import is_text
from chainrule.errors import ChainruleError, DataError, FileAccessError, FileFormatError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, texts in (("ham", ["Hello.", "See you"]), ("spam", ["Buy!", "Win now", "世界"])):
        place = tmp_path / "mail" / name
        place.mkdir(parents=True)
        for number, text in enumerate(texts):
            (place / f"{number}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "mail"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(
        "id,review,stars\n1,A good film it was,5\n2,,5\n3,It was bad and long,1\n"
        "4,Nothing to say,\n"
    )
    return path


# ---- tables


def test_a_table(table: Path) -> None:
    data = cr.data.text(table, label_column="stars")
    assert data.texts == ["A good film it was", "", "It was bad and long"]
    assert data.labels.tolist() == ["5", "5", "1"]
    assert (data.classes, data.counts, data.y.tolist()) == (["1", "5"], [1, 2], [1, 1, 0])
    assert data.names == ["data row 1", "data row 2", "data row 3"]
    assert [tuple(item) for item in data.skipped] == [("data row 4", "its class is missing")]
    assert (data.column, data.target) == ("review", "stars")
    part = data.take(np.array([2, 0]))
    assert (part.texts, part.y.tolist()) == (["It was bad and long", "A good film it was"], [0, 1])
    assert repr(data) == "TextData(3 texts, 2 classes, 1 skipped)"


def test_columns_are_found_by_their_names_or_looks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("kind,what\na,this is quite a text\nb,and so is this one\n")
    data = cr.data.text(path)
    assert (data.column, data.target) == ("what", "kind")
    path.write_text("label,code,text\na,x1,hi\nb,x2,ho\n")
    assert cr.data.text(path).column == "text"
    path.write_text("a,b,c\nx,y,z\nx,y,u\n")
    with pytest.raises(DataError, match=r"not clear which column is the text.*text_column"):
        cr.data.text(path)
    path.write_text("text,b,c\nx,y,z\nx,y,u\n")
    with pytest.raises(DataError, match=r"not clear which column is the label.*label_column"):
        cr.data.text(path)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("text,label\nx,a\ny,a\n", {}, "the texts are all of one class"),
        ("text,label\nx,1.5\ny,2\n", {}, "numbers with a fraction cannot be classes"),
        ("text,label\n1,a\n2,b\n", {}, "holds no text: got number cells"),
        ("text,label\nx,\ny,\n", {}, "holds no values"),
        ("text,label\nx,a\ny,b\n", {"text_column": "txt"}, "no such column"),
        ("text,label\nx,a\ny,b\n", {"label_column": "lable"}, "no such column"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, content: str, options: dict[str, str], words: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        cr.data.text(path, **options)


def test_what_looks_like_text() -> None:
    columns = {
        "words": ["this is a sentence", "and another one here"],
        "names": ["red", "dark blue"],
        "numbers": [1, 2],
        "none": [None, None],
        "chinese": ["我来到北京清华大学", "这部电影很好看"],
    }
    found = {column.name for column in as_table(columns) if is_text(column)}
    assert found == {"words", "chinese"}


# ---- folders and files


def test_a_folder(folder: Path) -> None:
    data = cr.data.text(folder)
    assert data.classes == ["ham", "spam"]
    assert data.texts == ["Hello.", "See you", "Buy!", "Win now", "世界"]
    assert data.y.tolist() == [0, 0, 1, 1, 1]
    assert data.names == ["ham/0.txt", "ham/1.txt", "spam/0.txt", "spam/1.txt", "spam/2.txt"]
    assert (data.column, data.target, data.skipped) == (None, None, [])


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_what_cannot_be_used_is_listed_with_the_reason(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not in the folder")
    (folder / "ham" / "link.txt").symlink_to(secret)
    (folder / "ham" / "empty.txt").write_bytes(b"")
    (folder / "ham" / "picture.png").write_bytes(b"")
    (folder / "ham" / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (folder / "ham" / "wide.txt").write_bytes("hello".encode("utf-16-le"))
    (folder / "ham" / "big.txt").write_bytes(b"x" * 2_000)
    (folder / "loose.txt").write_text("no class")
    os.mkfifo(folder / "ham" / "pipe.txt")
    data = cr.data.text(folder, max_bytes=1_000)
    assert len(data) == 5
    reasons = dict(data.skipped)
    assert reasons["ham/link.txt"] == "a link that leads out of the folder"
    assert reasons["ham/empty.txt"] == "the file is empty"
    assert "does not end in .txt" in reasons["ham/picture.png"]
    assert reasons["ham/latin.txt"] == "byte 3 is not utf-8 text"
    assert "null characters" in reasons["ham/wide.txt"]
    assert "2,000 bytes, over 1,000" in reasons["ham/big.txt"]
    assert "in no sub-folder" in reasons["loose.txt"]
    assert reasons["ham/pipe.txt"] == "this is not an ordinary file"
    assert len(reasons) == len(data.skipped) == 8
    assert len(cr.data.text(folder, encoding="latin-1")) > 5


def test_texts_without_classes(folder: Path, table: Path) -> None:
    data = read_texts([folder, table, folder / "ham" / "0.txt"], text_column="review")
    assert len(data) == 5 + 4 + 1
    assert data.names[5] == f"{table}: data row 1"
    assert data.texts[-1] == "Hello."
    assert (data.y == -1).all()
    with pytest.raises(DataError, match="classes of the texts are not known"):
        _ = data.labels
    with pytest.raises(FileAccessError, match="no such file"):
        read_texts([folder / "none.txt"])


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffone\r\n\r\n  two \rthree\n".encode())
    data = cr.data.text(path)
    assert data.texts == ["one", "two", "three"]
    assert data.names == ["line 1", "line 3", "line 4"]
    path.write_text("\n \n")
    with pytest.raises(DataError, match="there are no texts"):
        read_lines(path)
    path.write_bytes(b"caf\xe9")
    with pytest.raises(FileFormatError, match="byte 4 is not utf-8 text"):
        read_lines(path)
    assert read_lines(path, encoding="latin-1").texts == ["café"]
    with pytest.raises(FileFormatError, match="there is no encoding 'klingon'"):
        read_lines(path, encoding="klingon")
    with pytest.raises(FileAccessError, match="no such file"):
        read_lines(tmp_path / "none.txt")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
                min_size=1, max_size=5))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_unicode_survives_a_file(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        kept = []
        for number, text in enumerate(texts):
            path = Path(place) / "class" / f"{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
            plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
            kept += [plain] if text else []
        if kept:
            assert cr.data.text(place, allow_one_class=True).texts == kept


@pytest.mark.fuzz
def test_damaged_files_give_texts_or_a_reason() -> None:
    """Random bytes, cut and mixed UTF-8: a text, a reason, or an error of the library."""
    random = np.random.default_rng(5)
    good = "text,label\nnaïve café 世界,a\nplain words here,b\n".encode()
    count = int(os.environ.get("CHAINRULE_FUZZ_COUNT", "300"))
    outcomes, longest = {"texts": 0, "refused": 0}, 0
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            data = bytearray(good)
            for _ in range(int(random.integers(1, 6))):
                at = int(random.integers(len(data)))
                if random.random() < 0.5:
                    data[at] = int(random.integers(256))
                else:
                    del data[at : at + int(random.integers(1, 4))]
            suffix = (".csv", ".txt")[number % 2]
            path = Path(place) / f"x{suffix}"
            path.write_bytes(data)
            try:
                found = cr.data.text(path)
                assert isinstance(found, TextData)
                assert len(found.texts) == len(found.y) == len(found.names) > 0
                cr.data.TextEncoder().fit([*found.texts, "a"])
                outcomes["texts"] += 1
            except ChainruleError as error:
                outcomes["refused"] += 1
                longest = max(longest, len(str(error)))
    assert min(outcomes.values()) > count / 20
    assert longest < 600
