from django.db import migrations, models


class Migration(migrations.Migration):
    """State only: choices are no constraint of the column."""

    dependencies = [
        ('soroban', '0007_token_rounds'),
    ]

    operations = [
        migrations.AlterField(
            model_name='syncrun',
            name='kind',
            field=models.CharField(
                choices=[
                    ('sync', 'Sync'),
                    ('sweep', 'Sweep'),
                    ('deep', 'Deep Sweep'),
                    ('rebuild', 'Rebuild'),
                    ('redecode', 'Redecode'),
                ],
                max_length=8,
            ),
        ),
    ]
