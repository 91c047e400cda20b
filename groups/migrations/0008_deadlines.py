import groups.deadlines
from django.db import migrations, models

# The wallet that an event names (ajo.api.events.EventWallet). Django's state does not know this index: the log belongs
# to another app.
WALLET = (
    "coalesce(data ->> 'member', data ->> 'recipient', data ->> 'creator', data ->> 'requester', data ->> 'voter', "
    "data ->> 'admin')"
)
EVENT_INDEX = f"CREATE INDEX soroban_event_wallet ON soroban_contractevent (({WALLET}), id) WHERE {WALLET} IS NOT NULL"


class Migration(migrations.Migration):

    dependencies = [
        ('groups', '0007_fill_search_key'),
        ('soroban', '0009_dataset_id'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='group',
            index=models.Index(groups.deadlines.RoundEnd(), models.F('id'), condition=models.Q(('contributions_received__lt', models.F('member_count')), ('status', 'active')), name='grp_unpaid_round_end'),
        ),
        migrations.AddIndex(
            model_name='group',
            index=models.Index(groups.deadlines.GraceEnd(), models.F('id'), condition=models.Q(('contributions_received', models.F('member_count')), ('status', 'active')), name='grp_paid_grace_end'),
        ),
        migrations.RunSQL(EVENT_INDEX, "DROP INDEX soroban_event_wallet"),
    ]
