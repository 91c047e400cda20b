import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    """Rename an attribute; its column stays, so no SQL runs."""

    dependencies = [
        ('soroban', '0008_run_kinds'),
    ]

    operations = [
        migrations.AlterField(
            model_name='checkpoint',
            name='era',
            field=models.UUIDField(db_column='era', default=uuid.uuid4, editable=False, help_text='Another fill of the tables has another: caches tell them apart by it.'),
        ),
        migrations.RenameField(
            model_name='checkpoint',
            old_name='era',
            new_name='dataset_id',
        ),
    ]
