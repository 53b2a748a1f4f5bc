"""Files that the hub keeps, by address: of registered models, and batches of datasets. Verified by their digest."""

from __future__ import annotations

import hashlib

from everloop.data.address import BatchFile, ModelFile
from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.server.client import Hub, open_hub

LATEST = "latest"


def read(address: ModelFile | BatchFile) -> bytes:
    """The bytes of a file of the hub that the settings name.

    Raises:
        NotFoundError: There is no such model, alias, version, dataset, batch or file.
        UnavailableError: The hub does not answer.
        FailedError: What came is not what is registered.
    """
    hub = open_hub()
    digest = _of_model(hub, address) if isinstance(address, ModelFile) else _of_batch(hub, address)
    data = hub.get_bytes(digest)
    if hashlib.sha256(data).hexdigest() != digest:
        raise FailedError(f"{address} came with other bytes than its digest {digest} promises")
    return data


def _of_model(hub: Hub, address: ModelFile) -> str:
    registry = hub.registry
    if address.version.isdecimal():
        version = registry.get_version(address.model, int(address.version))
    else:
        version = registry.resolve(address.model, address.version)
    digests = {file.path: file.digest for file in version.files}
    if address.path not in digests:
        raise NotFoundError(
            f"models/{address.model}@{version.version} has no file {address.path!r}; it has: {', '.join(digests)}"
        )
    return digests[address.path]


def _of_batch(hub: Hub, address: BatchFile) -> str:
    if address.up_to != LATEST and not address.up_to.isdecimal():
        raise InvalidError(f"datasets/{address.dataset}@{address.up_to}: it is a batch's number, or {LATEST!r}")
    up_to = None if address.up_to == LATEST else int(address.up_to)
    batches = {batch.name: batch for batch in hub.datasets.list_batches(address.dataset, "accepted", up_to)}
    # `ever dataset checkout` writes them under this name.
    found = batches.get(address.batch) or batches.get(address.batch.removesuffix(".csv"))
    if found is None:
        raise NotFoundError(
            f"the dataset {address.dataset!r} has accepted no batch {address.batch!r} up to {address.up_to}",
            hint=f"see what it has: ever dataset list {address.dataset}",
        )
    return found.digest
