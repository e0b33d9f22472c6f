"""What a case remembers comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cases.facts import Facts, FormFact, RequestedDocument, WriteBack, read_facts

FORM = FormFact(form_id="1", canonical="http://p/Q|1", title="A form", package="d", position=0)


@given(
    facts=st.builds(
        Facts,
        forms=st.lists(
            st.builds(
                FormFact,
                form_id=st.text(max_size=3),
                open_required=st.lists(st.text(max_size=3), max_size=3).map(tuple),
                position=st.integers(0, 9),
            ),
            max_size=2,
        ).map(tuple),
        requests=st.lists(st.builds(RequestedDocument, line=st.integers(0, 9)), max_size=2).map(tuple),
        write_backs=st.lists(st.builds(WriteBack, attempts=st.integers(-1, 9)), max_size=2).map(tuple),
    )
)
def test_facts_survive_their_text(facts: Facts) -> None:
    assert read_facts(facts.to_text()) == facts


@pytest.mark.parametrize("text", ["", "{}", Facts().to_text()])
def test_nothing_is_remembered_at_first(text: str) -> None:
    assert read_facts(text) == Facts()


def test_empty_facts_are_not_written() -> None:
    written: dict[str, Any] = json.loads(Facts(need="d").to_text())
    assert set(written) - {"attempts"} == {"need"}


def test_tries_are_counted_by_step_and_forgotten_by_success() -> None:
    facts = Facts().failed("send").failed("send").failed("extract")
    assert facts.attempts == {"send": 2, "extract": 1}
    assert facts.wait == "extract"
    assert facts.succeeded("extract") == Facts(attempts={"send": 2})
    assert facts.succeeded("send").wait == "extract", "another step still waits"
    assert facts.failed("send") != facts


def test_a_form_is_found_and_replaced_by_its_id() -> None:
    facts = Facts(forms=(FORM, FormFact(form_id="2", canonical="q", title="t", package="d", position=1)))
    done = facts.with_form(FormFact(form_id="2", canonical="q", title="t", package="d", position=1, status="completed"))
    assert [form.status for form in done.forms] == ["new", "completed"]
    assert done.form("2") == done.forms[1]
    assert done.form("3") is None


def test_the_ehr_is_told_one_thing_after_the_other() -> None:
    first, second = WriteBack(kind="task", digest="a", done=True), WriteBack(kind="claim-response", digest="b")
    assert Facts(write_backs=(first, second)).pending_write_back() == second
    assert Facts(write_backs=(first,)).pending_write_back() is None


def test_the_ehr_is_told_the_newest_of_each_kind() -> None:
    first = WriteBack(kind="coverage-information", digest="a", done=True)
    facts = Facts(write_backs=(first, WriteBack(kind="task", digest="b")))
    told = facts.telling(WriteBack(kind="coverage-information", digest="c"), WriteBack(kind="form-1", digest="d"))
    assert [(item.kind, item.digest, item.done) for item in told.write_backs] == [
        ("task", "b", False),
        ("coverage-information", "c", False),
        ("form-1", "d", False),
    ]
    assert told.telling() == told
