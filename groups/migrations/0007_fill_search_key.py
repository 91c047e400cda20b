import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations

BATCH = 500  # rows that are locked at a time, for some milliseconds
# Locked in the order of the ids, as the sync locks them: two that lock in different orders may wait for each other.
FILL = """
WITH batch AS (SELECT id FROM groups_group WHERE id > %s ORDER BY id LIMIT %s FOR NO KEY UPDATE),
  filled AS (UPDATE groups_group g SET search_key = ajo_search_key(g.name) FROM batch WHERE g.id = batch.id)
SELECT max(id) FROM batch
"""


def fill(apps, schema_editor):
    """Give every group the key of its name, each batch in a transaction of its own."""
    last = 0
    with schema_editor.connection.cursor() as cursor:
        while last is not None:
            cursor.execute(FILL, [last, BATCH])
            [last] = cursor.fetchone()


class Migration(migrations.Migration):
    """In no transaction: readers and the sync go on meanwhile. An interrupted one is begun again."""

    atomic = False

    dependencies = [
        ('groups', '0006_search_key'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        # what an interrupted CREATE INDEX CONCURRENTLY leaves has its name and serves nobody
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS grp_search_key', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='group',
            index=django.contrib.postgres.indexes.GinIndex(fields=['search_key'], name='grp_search_key', opclasses=['gin_trgm_ops']),
        ),
        RemoveIndexConcurrently(
            model_name='group',
            name='grp_name_trgm',
        ),
    ]
