"""Django's settings. Every variable is read here, once; .env.example lists them with defaults, units and reasons.

Nothing here raises: a bad value falls back to its default and is refused, by name, by the checks in ajo/conf/checks.py.
"""

import os
import secrets
import ssl
from datetime import timedelta
from pathlib import Path

from ajo.conf.addresses import host_of, in_url, local_address, normal_address, origin_of, redis_namespace
from ajo.conf.connections import broker_options, postgresql_options
from ajo.conf.env import EnvFile, Reader
from ajo.conf.log_config import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = EnvFile(BASE_DIR)
ENV_FILE.load()
ENV = Reader(ENV_FILE.problems)

# --- Who we are -------------------------------------------------------------------------------------------------------
DEBUG = ENV.bool("DEBUG")
# Without a key each process makes its own, so that the check's message is what a person sees, not Django's traceback.
SECRET_KEY = ENV.text("SECRET_KEY") or secrets.token_urlsafe(48)
# Earlier keys: what they signed (cursors, sessions, password reset links) is still accepted, nothing new is.
SECRET_KEY_FALLBACKS = ENV.list("SECRET_KEY_FALLBACKS")
PORT = ENV.number("PORT", 8000, 1, 65_535)
WEB_HOST = ENV.address("WEB_HOST", "127.0.0.1")  # 0.0.0.0 in a container, where nothing else listens
PUBLIC_URL = normal_address(ENV.text("PUBLIC_URL", f"http://{in_url(local_address(WEB_HOST))}:{PORT}"))
_HTTPS = PUBLIC_URL.startswith("https://")
# Loopback: health checks ask from inside.
ALLOWED_HOSTS = [*ENV.list("ALLOWED_HOSTS", (host_of(PUBLIC_URL),)), "localhost", "127.0.0.1", "[::1]"]
# Addresses or networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
TRUSTED_PROXIES = ENV.list("TRUSTED_PROXIES")
# The header in which they name the client. A client's X_Forwarded_For, which proxies in Go pass on and which has the
# same name in WSGI, is dropped by ajo/webserver/gateway.py.
CLIENT_ADDRESS_HEADER = ENV.text("CLIENT_ADDRESS_HEADER", "X-Forwarded-For")

# --- The chain --------------------------------------------------------------------------------------------------------
SOROBAN_RPC_URL = ENV.list("SOROBAN_RPC_URL")  # in order of preference
SOROBAN_RPC_HEADERS = ENV.mapping("SOROBAN_RPC_HEADERS")
AJO_CONTRACT_ID = ENV.text("AJO_CONTRACT_ID")
STELLAR_NETWORK_PASSPHRASE = ENV.text("STELLAR_NETWORK_PASSPHRASE")
AJO_SANDBOX = ENV.bool("AJO_SANDBOX")
VERIFIED_TOKENS = ENV.list("VERIFIED_TOKENS")
RPC_PROXY = ENV.text("RPC_PROXY")  # no other variable sends the RPC's calls, which carry a key, through a proxy
# Public RPC nodes answer in well under a second; the SDK's 33 s would hold a web thread or a whole sync pass.
RPC_TIMEOUT = ENV.number("RPC_TIMEOUT", 8, 1, 60)  # seconds for one attempt
RPC_RETRIES = ENV.number("RPC_RETRIES", 2, 0, 10)
RPC_EVENTS_LIMIT = ENV.number("RPC_EVENTS_LIMIT", 1000, 1, 10_000)  # 10,000 is the RPC's own limit
# Ledgers that a node may be behind what we have heard before another is preferred: a minute.
RPC_MAX_LAG = ENV.number("RPC_MAX_LAG", 12, 1, 10_000)

# Stroops. The most that a transaction we build offers for its place in a ledger, and for what it uses: restoring the
# archived contract would cost its next caller some 80 XLM.
MAX_INCLUSION_FEE = ENV.number("MAX_INCLUSION_FEE", 1_000_000, 100, 2**31 - 1)
MAX_RESOURCE_FEE = ENV.number("MAX_RESOURCE_FEE", 50_000_000, 1_000, 2**31 - 1)

# --- Keeping up with it -----------------------------------------------------------------------------------------------
SYNC_INTERVAL = ENV.number("SYNC_INTERVAL", 5, 1, 3600)  # seconds; a ledger closes about every 5
SWEEP_INTERVAL = ENV.number("SWEEP_INTERVAL", 300, 10, 86_400)  # seconds; its price is the RPC's quota
RUNS_KEPT_DAYS = ENV.number("RUNS_KEPT_DAYS", 14, 1, 3650)  # a pass every 5 seconds is 17,280 rows a day
STALE_AFTER = ENV.number("STALE_AFTER", 60, 5, 86_400)  # seconds of silence until answers say Ajo-Stale
CACHE_TTL = ENV.number("CACHE_TTL", 600, 1, 86_400)  # seconds; a bound for bodies nobody refreshes any more

# --- Serving ----------------------------------------------------------------------------------------------------------
READ_RATE = ENV.text("READ_RATE", "600/min", empty=True)  # requests of one client address; empty: no limit
CHAIN_RATE = ENV.text("CHAIN_RATE", "60/min", empty=True)  # those among them that cost an RPC call
# One process for each core that we may use; more than eight would take more connections than PostgreSQL allows.
WEB_WORKERS = ENV.number("WEB_WORKERS", min(len(os.sched_getaffinity(0)), 8), 1, 64)
WEB_THREADS = ENV.number("WEB_THREADS", 4, 1, 64)  # of each worker
WEB_HTTP2 = ENV.bool("WEB_HTTP2")  # without TLS; proxies ask us by HTTP/1.1
LOG_LEVEL = ENV.text("LOG_LEVEL", "INFO").upper()
ACCESS_LOG = ENV.bool("ACCESS_LOG")  # a line for each request costs a tenth of a cached answer's time, and the disk
METRICS_TOKEN = ENV.text("METRICS_TOKEN")  # empty: /metrics answers loopback only
# prometheus-client reads the variable itself, and needs the folder; none: each process shows only its own counts
METRICS_DIR = ENV.folder("PROMETHEUS_MULTIPROC_DIR")
BEAT_FILE = ENV.text("BEAT_FILE")  # touched whenever beat sends a task: what health checks look at

# --- PostgreSQL and Redis ---------------------------------------------------------------------------------------------
# At least one connection for each thread of a web worker, or threads wait for each other. The edge (ajo/edge) opens up
# to one more for each thread, so a machine's web processes take WEB_WORKERS * (DATABASE_POOL_SIZE + WEB_THREADS): 16 on
# two cores, 64 on eight and more, of the 100 that PostgreSQL allows.
DATABASE_POOL_SIZE = ENV.number("DATABASE_POOL_SIZE", max(WEB_THREADS, 4), 1, 200)  # connections of one process
_DATABASE = ENV.database("DATABASE_URL")
_OPTIONS = _DATABASE.get("OPTIONS")
DATABASES = {
    "default": {
        **_DATABASE,
        "ENGINE": "ajo.database",
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,  # the pool hands out no connection that died with a restarted server
        # A pooler in transaction mode gives each transaction another server connection; a cursor would be lost.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": {
            **postgresql_options(DATABASE_POOL_SIZE),
            **(_OPTIONS if isinstance(_OPTIONS, dict) else {}),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = ENV.text("REDIS_URL")
REDIS_NAMESPACE = redis_namespace(STELLAR_NETWORK_PASSPHRASE, AJO_CONTRACT_ID)  # every key begins with it
REDIS_TIMEOUT = 0.5  # seconds; a cache that is slower than the database behind it is no cache
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL or "redis://127.0.0.1:6379/0",
        "KEY_PREFIX": REDIS_NAMESPACE,
        "OPTIONS": {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT},
    }
}

# --- Celery (ajo/celery.py has the schedule) --------------------------------------------------------------------------
# It is the cache's database: many managed servers have only one. A flush loses no task for longer than its interval.
CELERY_BROKER_URL = ENV.text("CELERY_BROKER_URL", REDIS_URL)
# Celery would believe any certificate otherwise; ssl_ca_certs and the like of the address are read as well.
CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if CELERY_BROKER_URL.startswith("rediss://") else False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # Redis may be away for any time; worker and beat wait for it
CELERY_RESULT_EXPIRES = None  # no results, so nothing for beat to clean up
CELERY_TASK_IGNORE_RESULT = True  # SyncRun rows say what happened
CELERY_TASK_DEFAULT_QUEUE = "ajo"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 840  # seconds; a sweep of 10,000 groups under a tight RPC quota
CELERY_TASK_TIME_LIMIT = 900
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True  # redelivered anyway, as they are acknowledged late
CELERY_BEAT_SCHEDULER = "ajo.beat:SteadyScheduler"
CELERY_BROKER_TRANSPORT_OPTIONS = broker_options(REDIS_NAMESPACE, CELERY_TASK_TIME_LIMIT)

# --- Django -----------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "ajo.apps.ProjectConfig",
    "django.contrib.auth",
    "ajo.apps.StaffConfig",  # after it, so that roles are given permissions that were just made
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "ajo.soroban",
    "ajo.ops",
    "groups",
    "contributions",
    "ajo.indexer",
    "ajo.transactions",
]
MIDDLEWARE = [
    "ajo.ops.middleware.RequestMiddleware",
    "ajo.api.middleware.ApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "ajo.ops.middleware.PolicyMiddleware",
]
ROOT_URLCONF = "ajo.urls"
WSGI_APPLICATION = "ajo.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "ajo.formats"  # times to the second

# The apps' own folders are served as they are: no build step before a start, in `make run` and in the image alike.
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600  # seconds; names carry no hash, so an upgrade is seen within the hour

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
# Failed log-ins are counted in PostgreSQL (ajo/ops/logins.py): Redis may be away. By account, which may be tried from
# many addresses, and by address. A success forgives nothing, or an account of one's own would reset the count.
AUTHENTICATION_BACKENDS = ["ajo.ops.logins.LockoutBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)  # 960 tries a day at most, and nobody is kept out for long
AXES_LOCKOUT_PARAMETERS = "ajo.ops.logins.lockout_parameters"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "ajo.ops.logins.lock_address"
AXES_LOCKOUT_CALLABLE = "ajo.ops.logins.lockout_response"
AXES_ENABLE_ADMIN = AXES_VERBOSE = False  # ajo/ops/admin.py and our own log lines
# The first account, of `manage.py first_admin`; the password is of no use once that was made.
ADMIN_USERNAME = ENV.text("ADMIN_USERNAME", "admin")
ADMIN_PASSWORD = ENV.text("ADMIN_PASSWORD")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600  # seconds: staff sign in once a day
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
CSRF_TRUSTED_ORIGINS = [origin_of(PUBLIC_URL)] if "://" in PUBLIC_URL else []
# Browsers keep this promise for its whole time, and a preload list for years: it is off unless asked for.
SECURE_HSTS_SECONDS = HSTS_SECONDS = ENV.number("HSTS_SECONDS", 0, 0, 63_072_000)  # at most two years
SECURE_HSTS_INCLUDE_SUBDOMAINS = HSTS_INCLUDE_SUBDOMAINS = ENV.bool("HSTS_INCLUDE_SUBDOMAINS")
SECURE_HSTS_PRELOAD = HSTS_PRELOAD = ENV.bool("HSTS_PRELOAD")
# TLS ends at a proxy: without a trusted one, a redirect to https would loop for ever.
SECURE_SSL_REDIRECT = _HTTPS and bool(TRUSTED_PROXIES)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # asked from inside, without TLS
X_FRAME_OPTIONS = "DENY"
# Pages run no script and take no style but our own files: what the chain's texts smuggle in does nothing.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        **{f"{kind}-src": ["'self'"] for kind in ("connect", "font", "script", "style")},
        "img-src": ["'self'", "data:"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
OTP_ADMIN_HIDE_SENSITIVE_DATA = True  # not even who may change devices sees their keys
OTP_TOTP_ISSUER = f"Ajo {host_of(PUBLIC_URL)}"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # bytes; a signed transaction is far below
FILE_UPLOAD_HANDLERS = ["ajo.webserver.uploads.RefuseUploads"]

# --- API --------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_RENDERER_CLASSES": ["ajo.api.rendering.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["ajo.api.rendering.JSONParser"],
    "EXCEPTION_HANDLER": "ajo.api.problems.exception_handler",
    "URL_FORMAT_OVERRIDE": None,  # there is one format
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ajo",
    "DESCRIPTION": "Savings groups of a Soroban contract, as last read from the chain.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVERS": [{"url": PUBLIC_URL}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "ajo.api.schema.add_common_parts",
    ],
    "ENUM_NAME_OVERRIDES": {
        "GroupStatusEnum": "groups.models.Group.Status",
        "TransactionStatusEnum": "ajo.soroban.models.ChainTransaction.Status",
        "RunOutcomeEnum": "ajo.soroban.models.SyncRun.Outcome",
    },
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None},  # the page asks no other host
}

LOGGING = logging_config(LOG_LEVEL)
