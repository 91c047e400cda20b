from django.db import migrations, models


class Migration(migrations.Migration):
    """Rename an attribute; its column stays, so no SQL runs."""

    dependencies = [
        ('soroban', '0009_dataset_id'),
    ]

    operations = [
        migrations.AlterField(
            model_name='checkpoint',
            name='heard_at',
            field=models.DateTimeField(db_column='heard_at', help_text="When that ledger was first heard of, by the database's clock.", null=True),
        ),
        migrations.RenameField(
            model_name='checkpoint',
            old_name='heard_at',
            new_name='chain_advanced_at',
        ),
        migrations.AlterField(
            model_name='checkpoint',
            name='events_checked_to',
            field=models.BigIntegerField(db_default=0, default=0, help_text='The event log was compared with a second reading up to this ledger.'),
        ),
        migrations.AlterField(
            model_name='historygap',
            name='filled_at',
            field=models.DateTimeField(help_text='When a node with longer retention had delivered all its events after all; null: they are missing.', null=True),
        ),
        migrations.AlterField(
            model_name='historygap',
            name='from_ledger',
            field=models.BigIntegerField(help_text="The first ledger whose events are missing; 0: from the contract's beginning. Moves up as a node with longer retention delivers them."),
        ),
    ]
