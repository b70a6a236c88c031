import pytest
from together import convene


@pytest.fixture(autouse=True)
def four_meet():
    """``together.meet`` lets four go on at a time."""
    convene(4)
