# The bridge as an image, and the example's worker as another:
#
#   docker build -t iii-temporal .
#   docker build -t iii-temporal-order-worker --target order-worker .
#
# The bridge reads /etc/iii-temporal/iii-config.yaml, which is to be mounted; deploy/container has one for containers.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/iii-temporal
ENV PATH=/opt/iii-temporal/bin:$PATH
# The dependencies alone, with those of a bucket: a change of the code reuses this layer.
COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['s3'], sep='\n')" > requirements.txt
RUN pip install -r requirements.txt
COPY README.md LICENSE ./
COPY activities ./activities
COPY workflows ./workflows
COPY bridge ./bridge
RUN pip install --no-deps .

FROM python:3.12-slim AS order-worker
ENV PYTHONUNBUFFERED=1
RUN pip install --no-cache-dir --disable-pip-version-check iii-sdk==0.25.0
COPY examples/order_fulfillment/worker.py /opt/worker.py
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["python", "/opt/worker.py"]

FROM python:3.12-slim AS bridge
ENV PATH=/opt/iii-temporal/bin:$PATH PYTHONUNBUFFERED=1 III_TEMPORAL_CONFIG=/etc/iii-temporal/iii-config.yaml
# A directory of its own, as the bridge keeps what is set at run time in ./data; a fresh volume takes its owner.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin iii-temporal \
  && install -d -o 10001 -g 10001 /var/lib/iii-temporal
COPY --from=build /opt/iii-temporal /opt/iii-temporal
COPY deploy/container/check_ready.py /opt/iii-temporal/check_ready.py
USER 10001:10001
WORKDIR /var/lib/iii-temporal
VOLUME /var/lib/iii-temporal
EXPOSE 49134 3111 3112 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=6 \
  CMD ["python", "/opt/iii-temporal/check_ready.py"]
ENTRYPOINT ["iii-temporal"]
CMD ["serve", "--log-format", "json"]
