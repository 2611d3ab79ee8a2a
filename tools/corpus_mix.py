"""The parts of data/corpus.txt that come from Debian packages: print them, or check that they stand there.

    corpus_mix.py [--packages FOLDER]             print every passage, as it stands in data/corpus.txt
    corpus_mix.py [--packages FOLDER] --check     exit status 1 if one is missing there

The packages are fetched with `apt-get download` and unpacked, not installed; FOLDER keeps them for the
next time. The rest of data/corpus.txt is its own source; data/README.md says of every part where it is from.
"""

import argparse
import gzip
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CORPUS = os.path.join(ROOT, "data", "corpus.txt")


# ---- packages ----------------------------------------------------------------------------------


def unpacked(folder, package):
    """The folder a package is unpacked in."""
    root = os.path.join(folder, package)
    if not os.path.isdir(root):
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, stdout=sys.stderr)
        deb = next(f for f in os.listdir(folder) if f.startswith(package + "_") and f.endswith(".deb"))
        subprocess.run(["dpkg-deb", "-x", deb, root], cwd=folder, check=True)
    return root


def read_bytes(folder, package, path):
    path = os.path.join(unpacked(folder, package), path)
    with (gzip.open if path.endswith((".gz", ".dz")) else open)(path, "rb") as f:
        return f.read()


# ---- from a package's text to plain paragraphs ---------------------------------------------------


def paragraphs(text):
    """Each paragraph on one line; a blank line between two."""
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(re.sub(r"\s+", " ", b).strip() for b in blocks)


def cut(text, begin, end):
    """From the phrase `begin` to the phrase `end`, both included."""
    at = text.index(begin)
    return text[at : text.index(end, at) + len(end)]


# ---- sources: passages of one package each -------------------------------------------------------

KJV = (
    "gen1:1-13", "gen11:1-9", "gen41:1-8", "ruth1:8-18", "1sam17:41-50", "2sam18:24-33", "1kin3:16-28", "job38:1-12", "ps23:1-6",
    "ps104:10-24", "ps107:23-31", "prov6:6-11", "prov31:10-20", "eccl3:1-8", "song2:8-14", "isa40:1-8", "jonah1:3-12", "matt5:1-12",
    "luke15:11-24", "john1:1-14", "acts27:13-20", "1cor13:1-8", "rev21:1-5",
)  # fmt: skip


def bible(folder):
    """King James Version, verses of one passage joined, without their numbers."""
    program = os.path.join(unpacked(folder, "bible-kjv"), "usr/bin/bible")
    data = os.path.join(unpacked(folder, "bible-kjv-text"), "usr/lib")
    for spec in KJV:
        done = subprocess.run([program, "-p", data, "-l9999", spec], capture_output=True, check=True)
        verses = re.findall(r"^ +\d+ (.*)$", done.stdout.decode("ascii"), re.M)
        yield re.sub(r"\s+", " ", " ".join(verses)).strip()


SPANISH = (
    ("ot", "Y TENÍA Noemi un pariente", "siendo yo extranjera?"),
    ("nt", "Un hombre tenía dos hijos; Y el menor", "y es hallado. Y comenzaron á regocijarse."),
)


def spanish(folder):
    """Reina-Valera 1909, from the blocks of a SWORD module."""
    base = "usr/share/sword/modules/texts/ztext/spaRV1909eb/"
    for testament, begin, end in SPANISH:
        index, blocks = (read_bytes(folder, "sword-text-sparv", base + testament + s) for s in (".bzs", ".bzz"))
        text = b""
        for offset, size, _ in struct.iter_unpack("<III", index):
            text += zlib.decompress(blocks[offset : offset + size])
        plain = re.sub(r"<note.*?</note>|<title.*?</title>|<[^>]*>", "", text.decode(), flags=re.S)
        yield cut(re.sub(r"\s+", " ", plain), begin, end)


AUSTEN = (
    ("It is a truth universally acknowledged", "solace was visiting and news."),
    ("Emma Woodhouse, handsome, clever, and rich", "which first brought grief."),
    ("No one who had ever seen Catherine Morland", "at the back of the house."),
    ("The family of Dashwood had long been settled", "the legal inheritor of the Norland estate, and the person to whom he intended to bequeath it."),
    ('"Do you understand muslins, sir?"', 'get a thing in five minutes."'),
    ("Mrs. John Dashwood did not at all approve", "takes away one's independence.\""),
    ('"I can listen no longer in silence.', 'this evening or never."'),
)


def austen(folder):
    """Jane Austen's novels: one R list of lines for each, compressed."""
    data = read_bytes(folder, "r-cran-janeaustenr", "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
    text, at = "", 0
    while at < len(data):
        block = zlib.decompressobj()
        text += "\n".join(strings(block.decompress(data[at + 4 :]))) + "\n"
        at = len(data) - len(block.unused_data)
    text = paragraphs(text)
    for begin, end in AUSTEN:
        yield cut(text, begin, end)


def strings(serialised):
    """The character vector in R's XDR serialisation: a mark, a length and bytes for each string."""
    at = serialised.index(b"\x00\x04\x00\x09")
    while serialised[at : at + 4] in (b"\x00\x04\x00\x09", b"\x00\x00\x80\x09"):
        size = struct.unpack(">i", serialised[at + 4 : at + 8])[0]
        yield serialised[at + 8 : at + 8 + size].decode()
        at += 8 + size


PERSON = r"\(born |\(\d+-\d+\)"  # of whom nothing is taken
WORDNET_STEP = {"noun": 700, "verb": 250, "adj": 350, "adv": 150}


def wordnet(folder):
    """Every 700th noun of WordNet and so on: its words and its gloss."""
    for part, step in WORDNET_STEP.items():
        lines = read_bytes(folder, "wordnet-base", f"usr/share/wordnet/data.{part}").decode().splitlines()
        entries = [line for line in lines if not line.startswith("  ") and not re.search(PERSON, line)]
        glosses = []
        for entry in entries[step // 2 :: step]:
            fields, gloss = entry.split(" | ", 1)
            fields = fields.split(" ")
            words = [fields[4 + 2 * i].split("(")[0].replace("_", " ") for i in range(int(fields[3], 16))]
            glosses.append(f"{', '.join(words)} ({part}): {gloss.strip()}")
        yield "\n".join(glosses)


DEVIL = (
    "ABRUPT", "ABSTAINER", "ACQUAINTANCE", "ALONE", "APHORISM", "CABBAGE", "CALAMITY", "CAT", "CONNOISSEUR",
    "DAY", "ERUDITION", "FIDDLE", "GEOLOGY", "HURRICANE", "LOGIC", "MIND", "NOSE",
    "OUTCOME", "PIG", "PLATITUDE", "PROOF", "QUILL", "QUOTIENT", "RESPONSIBILITY",
    "SAUCE", "SLANG", "TELESCOPE", "TRUTH", "UNDERSTANDING", "WEATHER", "ZOOLOGY",
)  # fmt: skip


def devil(folder):
    """The Devil's Dictionary, some of its entries."""
    text = read_bytes(folder, "dict-devil", "usr/share/dictd/devil.dict.dz").decode("latin-1")
    entries = {}
    for block in re.split(r"\n(?=[A-Z][A-Z'-]+, (?:n|adj|v\.[ti]|adv)\.)", text):
        entries.setdefault(block.split(",")[0], block)
    yield "\n\n".join(paragraphs(entries[word].split("\n\n")[0]) for word in DEVIL)


JARGON = ("bogus", "cookie", "cruft", "deadlock", "foo", "heisenbug", "kluge", "magic number", "vanilla", "yak shaving")


def jargon(folder):
    """The Jargon File 4.4.7, some of its entries."""
    text = read_bytes(folder, "jargon-text", "usr/share/doc/jargon-text/jargon.txt.gz").decode()
    for word in JARGON:
        entry = re.search(rf"^   :{re.escape(word)}:.*?(?=^   :|\Z)", text, re.M | re.S)
        yield paragraphs("\n\n".join(entry.group(0).split("\n\n")[:3]))


STATE = (
    ("us-constitution", "We the People", "in which he shall be chosen."),
    ("us-declaration", "When in the Course of human events", "accustomed."),
)


def state(folder):
    """Two documents of the United States."""
    for name, begin, end in STATE:
        text = read_bytes(folder, "miscfiles", f"usr/share/state/{name}.gz").decode()
        yield cut(paragraphs(text), begin, end)


SOURCES = (bible, spanish, austen, wordnet, devil, jargon, state)


# ---- main --------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", help="folder that keeps the unpacked packages")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.abspath(args.packages or temporary)
        os.makedirs(folder, exist_ok=True)
        passages = [(source.__name__, p) for source in SOURCES for p in source(folder)]
    if not args.check:
        print("\n\n".join(p for _, p in passages))
        return 0
    with open(CORPUS, encoding="utf-8") as f:
        corpus = "\n\n" + f.read().rstrip("\n") + "\n\n"
    missing = [(name, p) for name, p in passages if f"\n\n{p}\n\n" not in corpus]
    for name, p in missing:
        print(f"{CORPUS}: not there, from {name}: {p[:60]!r}")
    print(f"{len(passages)} passages, {sum(len(p) for _, p in passages)} characters, {len(missing)} missing")
    return 1 if missing or not passages else 0


if __name__ == "__main__":
    sys.exit(main())
