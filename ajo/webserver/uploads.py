"""Refuse uploaded files: no form here takes one."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler


class RefuseUploads(FileUploadHandler):
    """Django's upload handler that refuses a form with a file before anything is kept of it: 400."""

    def new_file(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TooManyFilesSent("No file is taken here.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Keep nothing."""

    def file_complete(self, file_size: int) -> None:
        """Make no file."""
