"""Staff accounts of earlier versions go on seeing what they saw: status alone showed every table."""

from django.conf import settings
from django.db import migrations


def make_viewers(apps, schema_editor):
    role, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Viewer")  # its permissions come afterwards
    accounts = apps.get_model(settings.AUTH_USER_MODEL).objects.filter(is_staff=True, is_superuser=False)
    role.user_set.add(*accounts)


class Migration(migrations.Migration):

    dependencies = [
        ('ops', '0002_heartbeat_tasks'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [migrations.RunPython(make_viewers, migrations.RunPython.noop)]
