# The image of web, worker, beat and migrate; docker-compose.yml says which command each runs.
FROM python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS build
COPY requirements.txt /requirements.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /requirements.txt

FROM python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin ajo
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY ajo ./ajo
COPY groups ./groups
COPY contributions ./contributions
COPY docs/api ./docs/api
# Compiled once here: the file system may be read-only when it runs.
RUN python -m compileall -q /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=ajo.settings \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics \
    WEB_HOST=0.0.0.0
USER ajo
EXPOSE 8000
CMD ["python", "-m", "ajo.web"]
