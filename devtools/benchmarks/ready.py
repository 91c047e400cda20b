"""Sets Django up at import, for programs that import its models afterwards."""

import django

django.setup()
