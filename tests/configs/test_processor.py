"""What the processor is, from what Linux says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.processor import native_bfloat16, processor_name

MILAN = """processor\t: 0
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
flags\t\t: fpu avx avx2
"""


@pytest.mark.parametrize(
    ("flags", "native"),
    [("avx avx2", False), ("avx512f avx512_bf16", True), ("amx_tile amx_bf16", True)],
)
def test_bfloat16_is_native_where_the_processor_multiplies_it(
    tmp_path: Path, flags: str, native: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(MILAN.replace("avx avx2", flags))
    assert native_bfloat16(file) is native
    file.write_text(f"processor : 0\nFeatures : {flags.replace('avx512_bf16', 'bf16')}\n")
    assert native_bfloat16(file) is native


def test_a_processor_has_a_name_and_the_numbers_of_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(MILAN * 2)
    assert processor_name(file) == "AMD EPYC (25/1)"


def test_without_linux_there_is_a_name_and_nothing_is_assumed(tmp_path: Path) -> None:
    assert processor_name(tmp_path / "none")
    assert native_bfloat16(tmp_path / "none") is False
