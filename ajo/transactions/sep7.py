"""What wallets of the network read: a transaction as a SEP-7 link, and the file that says who serves it (SEP-1)."""

from __future__ import annotations

import json

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from stellar_sdk import TransactionEnvelope
from stellar_sdk.sep.stellar_uri import TransactionStellarUri

SUBMIT_PATH = "/api/v1/transactions/"


def transaction_uri(envelope: TransactionEnvelope, signer: str) -> str:
    """Return the link that opens a wallet, which signs for `signer` and posts the result back as form-encoded `xdr`."""
    return TransactionStellarUri(
        envelope,
        callback=settings.PUBLIC_URL.rstrip("/") + SUBMIT_PATH,
        pubkey=signer,
        network_passphrase=settings.STELLAR_NETWORK_PASSPHRASE,
    ).to_uri()


@require_safe
def stellar_toml(request: HttpRequest) -> HttpResponse:
    """Serve /.well-known/stellar.toml: the network, and where the API is. Any origin's scripts may read it (SEP-1)."""
    lines = [
        'VERSION="2.7.0"',
        f"NETWORK_PASSPHRASE={_text(settings.STELLAR_NETWORK_PASSPHRASE)}",
        "",
        "[DOCUMENTATION]",
        f"ORG_URL={_text(settings.PUBLIC_URL)}",
    ]
    response = HttpResponse("\n".join([*lines, ""]), content_type="text/plain; charset=utf-8")
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _text(value: str) -> str:
    """Write a TOML string: JSON's escapes are among TOML's."""
    return json.dumps(value, ensure_ascii=True)
