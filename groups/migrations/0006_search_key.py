import json
import unicodedata

import django.contrib.postgres.indexes
from django.db import migrations

import groups.search

SYMBOLS = '0123456789abcdefghijklmnopqrstuvwxyz'
# From here on scripts have more characters than an alphabet, and shorter words.
IDEOGRAPHS = 0x2E80
# Letters with a stroke have no decomposition; people who miss them on their keyboard type these.
WITHOUT_STROKE = dict(zip('łøđħŧı', 'lodhti'))
INVISIBLE = {*'\u034f\u0640\u115f\u1160\u180b\u180c\u180d\u3164\uffa0', *map(chr, range(0xFE00, 0xFE10))}


def folded(char):
    """A character without case and stroke; nothing for an accent or what shows nothing.

    By canonical combining class, 200 and above are accents around a letter and 10 to 35 Hebrew and Arabic points. Vowel
    signs, viramas, tone and voicing marks of scripts whose words differ by them stay.
    """
    place = unicodedata.combining(char)
    if place >= 200 or 10 <= place <= 35 or char in INVISIBLE or unicodedata.category(char) == 'Cf':
        return ''
    return ''.join(WITHOUT_STROKE.get(each, each) for each in unicodedata.normalize('NFKD', char.casefold()))


def comparable():
    """The body of ajo_comparable(text): compatibility forms by PostgreSQL, the rest from Python's Unicode tables."""
    whole = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    fold = {c: folded(c) for c in whole if unicodedata.normalize('NFKD', c) == c and folded(c) != c}
    return f"""IF octet_length(given) = length(given) THEN RETURN lower(given COLLATE "C"); END IF;
        RETURN (SELECT coalesce(normalize(string_agg(coalesce(fold ->> c, c), '' ORDER BY place), NFC), '')
          FROM (SELECT '{json.dumps(fold, ensure_ascii=False)}'::jsonb AS fold) AS folds,
            unnest(string_to_array(normalize(given, NFKD), NULL)) WITH ORDINALITY AS each (c, place));"""


# The body of ajo_digest(comparable): ASCII letters and digits are themselves, other characters share symbols. One of an
# alphabet has one, others two, so that any two ideographs have trigrams.
DIGEST = f"""IF octet_length(given) = length(given) THEN RETURN regexp_replace(given, '[^0-9a-z]', 'w', 'g'); END IF;
    RETURN (SELECT string_agg(CASE WHEN ascii(c) < 128 THEN regexp_replace(c, '[^0-9a-z]', 'w')
        WHEN ascii(c) < {IDEOGRAPHS} THEN substr('{SYMBOLS}', ascii(c) % 36 + 1, 1)
        ELSE substr('{SYMBOLS}', ascii(c) / 36 % 36 + 1, 1) || substr('{SYMBOLS}', ascii(c) % 36 + 1, 1) END,
        '' ORDER BY place)
      FROM unnest(string_to_array(given, NULL)) WITH ORDINALITY AS each (c, place));"""


def function(name, body, declared=''):
    kind = 'RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE'
    return migrations.RunSQL(
        f'CREATE FUNCTION {name}(given text) {kind} AS $ajo$ {declared} BEGIN {body} END $ajo$',
        f'DROP FUNCTION {name}(text)',
    )


PLAIN = 'DECLARE plain text := ajo_comparable(given);'


def keep_key(table, source):
    """A trigger that makes the key again whenever the column that it is of is written."""
    return migrations.RunSQL(
        f"""
        CREATE FUNCTION {table}_search_key() RETURNS trigger LANGUAGE plpgsql AS $ajo$ BEGIN
          IF TG_OP = 'INSERT' OR NEW.{source} IS DISTINCT FROM OLD.{source} OR NEW.search_key <> OLD.search_key THEN
            NEW.search_key := ajo_search_key(NEW.{source});
          END IF;
          RETURN NEW;
        END $ajo$;
        CREATE TRIGGER search_key BEFORE INSERT OR UPDATE OF {source}, search_key ON {table}
          FOR EACH ROW EXECUTE FUNCTION {table}_search_key()
        """,
        f'DROP TRIGGER search_key ON {table}; DROP FUNCTION {table}_search_key()',
    )


class Migration(migrations.Migration):
    """Columns with a default are added without a rewrite; the next migration fills the groups'."""

    dependencies = [
        ('groups', '0005_booked_premiums'),
    ]

    operations = [
        function('ajo_comparable', comparable()),
        function('ajo_digest', DIGEST),
        function('ajo_search_key', "RETURN ajo_digest(plain) || '=' || plain;", PLAIN),
        # what LIKE finds a text by; null, which finds nothing, where it has no trigram and the whole table would be read
        function('ajo_search_pattern', r"""
            IF length(ajo_digest(plain)) >= 3 THEN
              RETURN '%' || ajo_digest(plain) || '%=%' || regexp_replace(plain, '([\\%_])', '\\\1', 'g') || '%';
            END IF;
            RETURN NULL;""", PLAIN),
        migrations.AddField(
            model_name='group',
            name='search_key',
            field=groups.search.SearchKeyField(),
        ),
        migrations.AddField(
            model_name='walletlabel',
            name='search_key',
            field=groups.search.SearchKeyField(),
        ),
        keep_key('groups_group', 'name'),
        keep_key('groups_walletlabel', 'label'),
        migrations.RunSQL('UPDATE groups_walletlabel SET search_key = ajo_search_key(label)', migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='walletlabel',
            index=django.contrib.postgres.indexes.GinIndex(fields=['search_key'], name='label_search_key', opclasses=['gin_trgm_ops']),
        ),
    ]
