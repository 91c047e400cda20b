"""The second factor: a code of the time (TOTP, RFC 6238) beside the password, for staff who turn it on.

Devices and recovery codes are django-otp's, with its throttling of wrong codes.
"""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import segno
from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User as Account
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django_otp.forms import OTPAuthenticationFormMixin
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

log = logging.getLogger(__name__)

RECOVERY_CODES: Final = 8
DEVICE_NAME: Final = "second factor"


class CodeField(forms.CharField):
    """A code of six digits, or a recovery code."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "size": 12})
        super().__init__(max_length=16, widget=widget, **kwargs)


class LoginForm(OTPAuthenticationFormMixin, AdminAuthenticationForm):  # type: ignore[misc]  # untyped
    """The log-in form. An account with a second factor needs its code as well; others leave the field empty."""

    otp_token = CodeField(label="Code of your second factor, if you have one", required=False)

    def clean(self) -> dict[str, Any]:
        self.cleaned_data: dict[str, Any] = super().clean()
        account: Account | None = self.get_user()  # None where the password was wrong; the stubs say otherwise
        if account is not None and device_of(account) is not None:
            self.clean_otp(account)
        return self.cleaned_data

    def _chosen_device(self, user: Any) -> Device | None:
        """Return the device that a code of this form belongs to; django-otp's own form has people choose."""
        is_recovery = not str(self.cleaned_data.get("otp_token") or "").isdecimal()
        return _recovery_device(user) if is_recovery else device_of(user)

    def _update_form(self, user: Any) -> None:
        """Do nothing: django-otp would write the password into the page."""


class CodeForm(forms.Form):
    """The form that turns the second factor on or off. `device` is what the code has to be of."""

    code = CodeField(label="Code")

    def __init__(self, *args: Any, device: Device, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._device = device

    def clean_code(self) -> str:
        """Return the code. Raises ValidationError for a wrong one, and while too many wrong ones came."""
        code = str(self.cleaned_data["code"])
        is_allowed, _ = self._device.verify_is_allowed()
        if not is_allowed:
            raise ValidationError("Too many wrong codes. Wait a moment, then enter the next one.")
        if not self._device.verify_token(code):
            raise ValidationError("That is not the code that the app shows now. Is this device's clock right?")
        return code


def device_of(account: Any) -> TOTPDevice | None:
    """Return the account's second factor; None where it is not turned on."""
    return TOTPDevice.objects.filter(user=account, confirmed=True).first()


@transaction.atomic
def _unconfirmed_device(account: Account) -> TOTPDevice:
    """Return the device that the account may turn on; makes it where there is none."""
    Account.objects.select_for_update().get(pk=account.pk)  # no constraint keeps two requests from making one each
    found = TOTPDevice.objects.filter(user=account, confirmed=False).first()
    return found or TOTPDevice.objects.create(user=account, confirmed=False, name=DEVICE_NAME)


def _recovery_device(account: Any) -> StaticDevice | None:
    return StaticDevice.objects.filter(user=account, confirmed=True).first()


def second_factor_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show one's own second factor, and turn it on or off by a code of it. `context` is the site's."""
    account = request.user
    if not isinstance(account, Account):  # the site's admin_view lets nobody else in
        raise TypeError("an account is expected")
    device = device_of(account)
    is_on = device is not None
    if device is None:
        device = _unconfirmed_device(account)
    form = CodeForm(request.POST if request.method == "POST" else None, device=device)
    codes: list[str] = []
    if form.is_valid():
        if is_on:
            _turn_off(account)
            return HttpResponseRedirect(reverse("admin:second_factor"))
        codes, is_on = _turn_on(account, device), True
    shown = {
        "title": "Second factor",
        "is_on": is_on,
        "codes": codes,
        "form": form,
        "left": _codes_left(account),
        "qr": "" if is_on else segno.make(device.config_url).svg_data_uri(scale=4, border=2),
        "key": "" if is_on else _key_of(device.config_url),
    }
    # No cache keeps it, as no page of the admin: it shows a secret.
    return TemplateResponse(request, "admin/second_factor.html", {**context, **shown})


@transaction.atomic
def _turn_on(account: Account, device: TOTPDevice) -> list[str]:
    """Confirm the device. Returns new recovery codes, which are shown once."""
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    StaticDevice.objects.filter(user=account).delete()
    recovery = StaticDevice.objects.create(user=account, name="recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create([StaticToken(device=recovery, token=code) for code in codes])
    log.info("second factor: account %s turned it on", account.get_username())
    return codes


@transaction.atomic
def _turn_off(account: Account) -> None:
    TOTPDevice.objects.filter(user=account).delete()
    StaticDevice.objects.filter(user=account).delete()
    log.info("second factor: account %s turned it off", account.get_username())


def _codes_left(account: Account) -> int:
    return int(StaticToken.objects.filter(device__user=account).count())


def _key_of(config_url: str) -> str:
    """Return the secret of an otpauth address, which people type where they cannot scan the picture."""
    return parse_qs(urlsplit(config_url).query)["secret"][0]
