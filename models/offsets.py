"""Where each generated token stands in the program's text.

Offsets are recorded when a program is sampled and never found again by searching the text: error spans, which are
character spans, become token positions through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

UNFINISHED = "\ufffd"


class Decoded(NamedTuple):
    """A text and, per token, the characters [start, end) that it contributed."""

    text: str
    starts: list[int]
    ends: list[int]


def decode_with_offsets(token_ids: Sequence[int], tokenizer: PreTrainedTokenizerFast, context: Sequence[int] = ()) -> Decoded:
    """Decode token by token; special tokens have empty spans.

    A token's text depends on the one before it (leading blanks), and a character's bytes may be spread over several
    tokens: such a character belongs to the token that completes it. `context`: tokens that the text goes on from. Without them,
    SentencePiece's kind of tokenizer drops a blank that the text begins with.
    """
    decode = tokenizer.backend_tokenizer.decode
    ids = [*context, *token_ids]
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    length, first, read = 0, 0, len(context)  # ids[first:read] is the text that the next piece is decoded after
    for position in range(len(context), len(ids)):
        before = decode(ids[first:read])
        after = decode(ids[first : position + 1])
        piece = after[len(before) :]
        if piece.endswith(UNFINISHED) and position + 1 < len(ids):
            piece = ""  # bytes of a character that a later token completes
        else:
            first, read = read, position + 1
        starts.append(length)
        length += len(piece)
        ends.append(length)
        pieces.append(piece)
    return Decoded("".join(pieces), starts, ends)
