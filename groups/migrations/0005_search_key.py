import unicodedata

import django.contrib.postgres.indexes
from django.db import migrations

import groups.search

SYMBOLS = '0123456789abcdefghijklmnopqrstuvwxyz'
# From here on scripts have more characters than an alphabet, and shorter words: two symbols for each.
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
    changed = {c: folded(c) for c in whole if unicodedata.normalize('NFKD', c) == c and folded(c) != c}
    letters = {c: to for c, to in changed.items() if len(to) == 1}
    removed = [c for c, to in changed.items() if not to]
    text = 'normalize(given, NFKD)'
    for char, to in changed.items():
        if len(to) > 1:
            text = f"replace({text}, '{char}', '{to}')"
    text = f"translate({text}, '{''.join([*letters, *removed])}', '{''.join(letters.values())}')"
    ascii_only = 'octet_length(given) = length(given)'
    return f'SELECT CASE WHEN {ascii_only} THEN lower(given COLLATE "C") ELSE normalize({text}, NFC) END'


def digest():
    """The body of ajo_digest(comparable): ASCII letters and digits are themselves, other characters share symbols."""
    others = [chr(code) for code in range(1, 128) if chr(code) not in SYMBOLS]
    quoted = ''.join(others).replace("'", "''")
    plain = f"translate(given, '{quoted}', '{''.join(SYMBOLS[ord(c) % len(SYMBOLS)] for c in others)}')"
    last, first = (f"substr('{SYMBOLS}', {part} % 36 + 1, 1)" for part in ('ascii(c)', 'ascii(c) / 36'))
    symbols = f"CASE WHEN strpos('{SYMBOLS}', c) > 0 THEN c WHEN ascii(c) < {IDEOGRAPHS} THEN {last} ELSE {first} || {last} END"
    return f"""SELECT CASE WHEN octet_length(given) = length(given) THEN {plain} ELSE (
        SELECT string_agg({symbols}, '' ORDER BY place)
        FROM unnest(string_to_array(given, NULL)) WITH ORDINALITY AS each (c, place)) END"""


def function(name, body):
    return migrations.RunSQL(
        f'CREATE FUNCTION {name}(given text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $ajo$ {body} $ajo$',
        f'DROP FUNCTION {name}(text)',
    )


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
        ('groups', '0004_ends_and_proofs'),
    ]

    operations = [
        function('ajo_comparable', comparable()),
        function('ajo_digest', digest()),
        function('ajo_search_key', "SELECT ajo_digest(ajo_comparable(given)) || '=' || ajo_comparable(given)"),
        # what LIKE finds a text by; null, which finds nothing, where it has no trigram and the whole table would be read
        function('ajo_search_pattern', r"""
            SELECT '%' || ajo_digest(ajo_comparable(given)) || '%=%'
              || regexp_replace(ajo_comparable(given), '([\\%_])', '\\\1', 'g') || '%'
            WHERE length(ajo_digest(ajo_comparable(given))) >= 3"""),
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
