from django.db import migrations, models


class Migration(migrations.Migration):
    """What was found before, and not told apart, counts as drift of state."""

    dependencies = [
        ('soroban', '0002_instance_ledger'),
    ]

    operations = [
        migrations.RenameField(model_name='checkpoint', old_name='drift_total', new_name='drift_state'),
        migrations.AddField(
            model_name='checkpoint',
            name='drift_history',
            field=models.BigIntegerField(default=0, help_text='Contributions, payouts and refunds that deep sweeps found and no event had announced.'),
        ),
        migrations.AddField(
            model_name='checkpoint',
            name='drift_metadata',
            field=models.BigIntegerField(default=0, help_text='Likewise of their names, which no event announces.'),
        ),
        migrations.AlterField(
            model_name='checkpoint',
            name='drift_state',
            field=models.BigIntegerField(default=0, help_text='Groups that sweeps found changed though no event had announced it.'),
        ),
        migrations.AlterField(
            model_name='syncrun',
            name='kind',
            field=models.CharField(choices=[('sync', 'Sync'), ('sweep', 'Sweep'), ('deep', 'Deep Sweep')], max_length=8),
        ),
    ]
