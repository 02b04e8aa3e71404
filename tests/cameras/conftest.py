from __future__ import annotations

import pytest

from gateway.base.entropy import SystemEntropy


@pytest.fixture
def entropy() -> SystemEntropy:
    return SystemEntropy()
