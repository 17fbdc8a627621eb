"""The families of problems, one row each.

In a task and in its code A and B stand for the arguments, K and M for whole constants, C and D for letters. The code's
last line is the answer; lines before it lead there. No family needs `while`: its bugs would run for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from problems.primer.shapes import INTS, NUMBER, PAIR, SOME_INTS, WORD, WORDS, Shape


@dataclass(frozen=True)
class Family:
    """One idea for a problem."""

    name: str
    shape: Shape
    code: str
    tasks: tuple[str, str]
    """Two wordings, each to follow "Print" and "return" (or "if", where the answer is yes or no)."""
    constants: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    """Placeholder → what it is drawn from; one problem's constants are distinct."""
    answer: Literal["value", "list", "yes"] = "value"


TINY = range(2, 8)
SMALL = range(2, 21)
WIDE = range(41)
LOW = range(15)
HIGH = range(16, 40)
LETTERS = "cdefghjlmnopqrtz"
"""Those that are no argument's name, so that a statement cannot be misread."""
K_TINY, K_SMALL, K_WIDE = {"K": TINY}, {"K": SMALL}, {"K": WIDE}
K_BELOW_M = {"K": LOW, "M": HIGH}
C_ANY = {"C": LETTERS}
C_AND_D = {"C": LETTERS, "D": LETTERS}

LISTS = (
    Family("sum_above", INTS, "sum(x for x in A if x > K)", ("the sum of those above K", "the sum of all above K"), K_WIDE),
    Family(
        "sum_below",
        INTS,
        "t = 0\nfor x in A:\n    if x < K:\n        t += x\nt",
        ("the sum of those below K", "the sum of all below K"),
        K_WIDE,
    ),
    Family("count_above", INTS, "len([x for x in A if x > K])", ("how many are above K", "the count of all above K"), K_WIDE),
    Family("count_equal", INTS, "A.count(K)", ("how many equal K", "the count of K"), K_WIDE),
    Family(
        "count_multiples",
        INTS,
        "t = 0\nfor x in A:\n    if x % K == 0:\n        t += 1\nt",
        ("how many are multiples of K", "the count of multiples of K"),
        K_SMALL,
    ),
    Family(
        "sum_multiples",
        INTS,
        "t = 0\nfor x in A:\n    if x % K == 0:\n        t += x\nt",
        ("the sum of multiples of K", "the sum of all multiples of K"),
        K_SMALL,
    ),
    Family("sum_scaled", INTS, "t = 0\nfor x in A:\n    t += x * K\nt", ("the sum times K", "K times the sum"), K_SMALL),
    Family(
        "product_modulo",
        INTS,
        "t = 1\nfor x in A:\n    t = t * x % K\nt",
        ("the product modulo K", "the remainder of the product by K"),
        {"K": range(5, 40)},
    ),
    Family(
        "distances",
        INTS,
        "t = 0\nfor x in A:\n    t += abs(x - K)\nt",
        ("the sum of distances to K", "the sum of all distances to K"),
        K_WIDE,
    ),
    Family("largest_plus", SOME_INTS, "max(A) + K", ("the largest plus K", "K more than the largest"), K_SMALL),
    Family("smallest_minus", SOME_INTS, "min(A) - K", ("the smallest minus K", "K less than the smallest"), K_SMALL),
    Family("spread", SOME_INTS, "max(A) - min(A)", ("the largest minus the smallest", "the distance of largest and smallest")),
    Family("distinct", INTS, "len(set(A))", ("how many distinct ones there are", "the count of distinct ones")),
    Family(
        "position",
        INTS,
        "t = -1\nfor i in range(len(A)):\n    if A[i] == K:\n        t = i\nt",
        ("the last position of K, or -1", "where K is last, or -1"),
        K_WIDE,
    ),
    Family("add_each", INTS, "[x + K for x in A]", ("each plus K", "all of them plus K"), K_SMALL, "list"),
    Family("multiply_each", INTS, "[x * K for x in A]", ("each times K", "all of them times K"), K_SMALL, "list"),
    Family("modulo_each", INTS, "[x % K for x in A]", ("each modulo K", "the remainder of each by K"), K_SMALL, "list"),
    Family("keep_above", INTS, "[x for x in A if x > K]", ("those above K", "all above K"), K_WIDE, "list"),
    Family("drop_equal", INTS, "[x for x in A if x != K]", ("all but K", "those not equal to K"), K_WIDE, "list"),
    Family(
        "keep_between",
        INTS,
        "r = []\nfor x in A:\n    if K < x < M:\n        r.append(x)\nr",
        ("those between K and M", "all above K and below M"),
        K_BELOW_M,
        "list",
    ),
    Family("clip_high", INTS, "[min(x, K) for x in A]", ("each, at most K", "all clipped to at most K"), K_WIDE, "list"),
    Family(
        "clip_low",
        INTS,
        "r = []\nfor x in A:\n    if x < K:\n        x = K\n    r.append(x)\nr",
        ("each, at least K", "all clipped to at least K"),
        K_WIDE,
        "list",
    ),
    Family(
        "replace_each",
        INTS,
        "[M if x == K else x for x in A]",
        ("each, with M for K", "all with K replaced by M"),
        K_BELOW_M,
        "list",
    ),
    Family("first", INTS, "A[:K]", ("the first K", "only the first K"), K_TINY, "list"),
    Family("last", INTS, "A[-K:]", ("the last K", "only the last K"), K_TINY, "list"),
    Family("every", INTS, "A[::K]", ("each K th one", "every K th one"), K_TINY, "list"),
    Family("smallest", INTS, "sorted(A)[:K]", ("the K smallest, sorted", "the smallest K in order"), K_TINY, "list"),
    Family("descending", INTS, "sorted(A, reverse=True)", ("all in descending order", "them sorted down"), answer="list"),
    Family(
        "running_sums",
        INTS,
        "t = K\nr = []\nfor x in A:\n    t += x\n    r.append(t)\nr",
        ("the running sums from K", "the prefix sums from K"),
        K_SMALL,
        "list",
    ),
    Family("any_above", INTS, "any(x > K for x in A)", ("any is above K", "one is above K"), K_WIDE, "yes"),
    Family("all_below", INTS, "all(x < K for x in A)", ("all are below K", "each is below K"), K_WIDE, "yes"),
    Family("contains", INTS, "K in A", ("K is there", "one equals K"), K_WIDE, "yes"),
)

NUMBERS = (
    Family("digit_sum", NUMBER, "sum(map(int, str(A))) * K", ("the sum of its digits times K", "K times its digit sum"), K_SMALL),
    Family("count_digit", NUMBER, "str(A).count('K')", ("how many digits are K", "the count of digit K"), {"K": range(10)}),
    Family("modulo", NUMBER, "A % K", ("A modulo K", "the remainder of A by K"), K_SMALL),
    Family("linear", NUMBER, "A * K + M", ("A times K plus M", "M plus K times A"), {"K": SMALL, "M": SMALL}),
    Family("clamp", NUMBER, "max(K, min(A, M))", ("A clipped to K and M", "A, at least K and at most M"), K_BELOW_M),
    Family(
        "sum_to",
        NUMBER,
        "t = 0\nfor i in range(A + 1):\n    t += i * K\nt",
        ("the sum of i times K up to A", "K times the sum up to A"),
        K_SMALL,
    ),
    Family(
        "sum_multiples_to",
        NUMBER,
        "sum(range(0, A + 1, K))",
        ("the sum of multiples of K up to A", "the sum up to A by K"),
        K_SMALL,
    ),
    Family(
        "factorial_modulo",
        NUMBER,
        "t = 1\nfor i in range(1, A + 1):\n    t = t * i % K\nt",
        ("the factorial modulo K", "the factorial of A modulo K"),
        {"K": range(29, 90)},
    ),
    Family(
        "multiples",
        NUMBER,
        "[A * i for i in range(1, K + 1)]",
        ("the first K multiples of A", "A times each i up to K"),
        K_TINY,
        "list",
    ),
    Family("countdown", NUMBER, "list(range(A, 0, -K))", ("A down by K, above 0", "a countdown by K"), K_SMALL, "list"),
    Family("divisible", NUMBER, "A % K == 0", ("A is a multiple of K", "K divides A"), K_SMALL, "yes"),
    Family(
        "mirrored_number", NUMBER, "str(A) == str(A)[::-1]", ("A is a palindrome", "its digits are a palindrome"), answer="yes"
    ),
)

PAIRS = (
    Family("gcd", PAIR, "from math import gcd\ngcd(A, B) * K", ("their gcd times K", "K times their gcd"), K_SMALL),
    Family("weighted", PAIR, "A * K + B * M", ("A times K plus B times M", "K times A plus M times B"), {"K": SMALL, "M": SMALL}),
    Family("distance", PAIR, "abs(A - B) * K", ("their distance times K", "K times their distance"), K_SMALL),
    Family("larger_plus", PAIR, "t = A\nif B > A:\n    t = B\nt + K", ("the larger plus K", "K more than the larger"), K_SMALL),
    Family("sum_modulo", PAIR, "(A + B) % K", ("their sum modulo K", "the remainder of their sum by K"), K_SMALL),
    Family("close", PAIR, "abs(A - B) < K", ("their distance is below K", "they are closer than K"), K_SMALL, "yes"),
)

STRINGS = (
    Family("count_letter", WORD, "A.count('C')", ("how many letters are C", "the count of letter C"), C_ANY),
    Family("replace_letter", WORD, "A.replace('C', 'D')", ("A with D for C", "A with C replaced by D"), C_AND_D),
    Family("remove_letter", WORD, "A.replace('C', '')", ("A without C", "A with no letter C"), C_ANY),
    Family(
        "find_letter",
        WORD,
        "t = -1\nfor i in range(len(A)):\n    if A[i] == 'C':\n        t = i\nt",
        ("the last position of C, or -1", "where C is last, or -1"),
        C_ANY,
    ),
    Family("repeat", WORD, "A * K", ("A repeated K times", "K times A"), K_SMALL),
    Family("prefix", WORD, "A[:K]", ("the first K letters", "only the first K letters"), K_TINY),
    Family("suffix", WORD, "A[-K:]", ("the last K letters", "only the last K letters"), K_TINY),
    Family("rotate", WORD, "A[K:] + A[:K]", ("A rotated by K", "the letters rotated by K"), K_TINY),
    Family("wrap", WORD, "'C' + A + 'D'", ("A after C and before D", "A between C and D"), C_AND_D),
    Family("join_letters", WORD, "'C'.join(A)", ("the letters joined by C", "A with C between letters"), C_ANY),
    Family(
        "spell_out",
        WORD,
        "t = ''\nfor c in A:\n    if c != 'C':\n        t += c + 'D'\nt",
        ("D after each letter but C", "each letter but C with D after it"),
        C_AND_D,
    ),
    Family("starts", WORD, "A[0] == 'C'", ("the first letter is C", "A starts with C"), C_ANY, "yes"),
    Family("longer_than", WORD, "len(A) > K", ("A has more than K letters", "A is longer than K"), K_SMALL, "yes"),
    Family("mirrored_word", WORD, "A == A[::-1]", ("A is a palindrome", "the letters are a palindrome"), answer="yes"),
    Family(
        "longer_words",
        WORDS,
        "r = []\nfor x in A:\n    if len(x) > K:\n        r.append(x)\nr",
        ("those longer than K", "all longer than K"),
        K_TINY,
        "list",
    ),
    Family(
        "count_length", WORDS, "len([x for x in A if len(x) == K])", ("how many have K letters", "the count of length K"), K_TINY
    ),
    Family(
        "starting_with",
        WORDS,
        "[x for x in A if x[0] == 'C']",
        ("those that start with C", "all that start with C"),
        C_ANY,
        "list",
    ),
    Family(
        "count_having",
        WORDS,
        "t = 0\nfor x in A:\n    if 'C' in x:\n        t += 1\nt",
        ("how many contain C", "the count of words with C"),
        C_ANY,
    ),
    Family("add_suffix", WORDS, "[x + 'C' for x in A]", ("each with C after it", "all with C at the end"), C_ANY, "list"),
    Family("join_words", WORDS, "'C'.join(A)", ("them joined by C", "all joined by C"), C_ANY),
)

FAMILIES = (*LISTS, *NUMBERS, *PAIRS, *STRINGS)
