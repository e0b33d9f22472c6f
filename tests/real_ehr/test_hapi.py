"""The same states and the same write-back against a FHIR server that we did not write."""

from __future__ import annotations

import pytest

from tests.real_ehr.run import Absent, find_tool, run


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_worked_cases_reach_their_states_with_a_real_ehr() -> None:
    try:
        find_tool()
    except Absent as reason:
        pytest.skip(str(reason))
    assert run(lambda line: None) == []
