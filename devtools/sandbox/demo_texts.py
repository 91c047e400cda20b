"""Texts of the demo's groups: many scripts, and what is not text at all, for a chain takes any bytes."""

from typing import Final

_NAMES: Final = (
    "Ọjà Market Women",
    "Lagos Tailors",
    "Kikundi cha Wanawake",
    "Tanda de la Abuela Inés",
    "Mercado de São João",
    "Esusu Ìbàdàn",
    "Chama ya Boda Boda",
    "寿司の会",
    "Сусідська каса",
    "جمعية الحي",
    "किटी पार्टी",
    "Harvest 🌾 2026",
    "Susu & Sons <Accra>",
    "Café du Coin",
    "Stokvel eKasi",
    "계모임 한강",
    "Paluwagan ng Barangay",
    "Dhikuti परिवार",
    "Tontine Dakar-Plateau",
    'O\'Brien "Quotes" \\ Co.',
    "Zażółć gęślą jaźń",
    "School Fees Term 1",
    "Rent Together",
    "The Fifty Byte Name That Fills The Field To Its En",
)
# Invalid UTF-8, and a NUL: what databases and JSON cannot hold.
_HOSTILE: Final = (b"Caf\xe9 Latin-1", b"Null\x00Byte Club")
_DESCRIPTIONS: Final = (
    "",
    "We save for the rainy season.",
    "Friends from the same street, one pot each week.",
    "Épargne tournante entre collègues, sans intérêt.",
    "Line one\nLine two\n\tindented",
    "每月一次,大家轮流。",
)
_RULES: Final = (
    "",
    "1. Pay on time.\n2. Tell us early if you cannot.\n3. Nobody leaves before all are paid.",
    "Late twice: last in the queue of the next circle.",
    "<script>alert('rules')</script> is only a text here.",
)
NAMES: Final = (*(each.encode() for each in _NAMES), *_HOSTILE)
DESCRIPTIONS: Final = tuple(each.encode() for each in _DESCRIPTIONS)
RULES: Final = tuple(each.encode() for each in _RULES)
