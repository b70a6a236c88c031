"""Several hosts on one machine, see tests/support/hosts.py."""
import pytest

from tests.support.hosts import Hosts, token_file_in, why_none


@pytest.fixture
def cluster():
    """Hosts and programs that are gone after the test; hosts are added by those that need them."""
    with Hosts() as made:
        yield made


@pytest.fixture
def hosts(cluster):
    """hosts(n): n other hosts."""
    if why_none() is not None:
        pytest.skip(why_none())
    return cluster.add


@pytest.fixture
def token_file(tmp_path):
    return token_file_in(tmp_path)


@pytest.fixture
def scheduler(cluster, token_file):
    """A scheduler that every host can reach; its port."""
    return cluster.scheduler(token_file)
