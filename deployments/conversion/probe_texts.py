"""The texts on which a text generator is measured in each dtype. Other texts need another version
of the recipe."""

from __future__ import annotations

PROMPTS = (
    "The first thing that a visitor to the old harbour sees is",
    "To boil an egg so that its yolk stays soft, you",
    "A bicycle stays upright while it moves because",
    "My grandmother kept bees, and every summer she",
    "The difference between a lake and a pond is",
    "In the year 1825 the first railway that carried passengers",
    "Dear Mr. Harris,\n\nThank you for your letter of",
    "Three kinds of bread that are baked in the south are",
    "The moon is about 384,000 kilometres away, so light",
    "def average(numbers):\n    ",
    "When the orchestra had tuned its instruments, the conductor",
    "Water evaporates from the sea, rises, and",
    "The recipe asks for two cups of flour, one cup of",
    "She opened the door of the workshop and found",
    "A good map shows not only roads but also",
    "Question: Why is the sky blue?\nAnswer:",
)
"""Beginnings of texts, each shorter than a block of the KV cache."""

TEXT = (
    "The first railway to carry passengers by steam was opened in the north of England in 1825. "
    "Within thirty years lines crossed most of Europe, and a journey that had taken days by "
    "coach took hours. Towns set their clocks by the timetable, fresh milk reached the cities, "
    "and people who had never left their county saw the sea. Not everyone was pleased. Farmers "
    "complained that the engines frightened their horses, and doctors warned that the human "
    "body was not made for thirty miles an hour. The companies answered with cheaper tickets. "
    "On Sundays whole families rode out to the hills with baskets of bread and cold meat, and "
    "came back after dark, tired and singing. What changed most was the price of things. Coal "
    "that had cost eight shillings at the pit had cost thirty in the next valley; now it cost "
    "eleven. A weaver could buy cotton from across the ocean and sell cloth in Vienna. When a "
    "harvest failed in one province, grain came from another before prices had doubled. The old "
    "coaching inns stood empty for a while, until new owners painted them and called them "
    "hotels. Stations grew into the largest buildings that most people would ever enter, with "
    "iron roofs, great clocks and rooms for each class of traveller."
)
"""A text in plain English of about 250 tokens, whose perplexity is compared."""
