# A service of the LimaCharlie protocol in a container: the example greeter, to be replaced by your own. From the root of the
# repository:
#
#   docker build --file packaging/docker/greeter.Dockerfile --tag greeter:0.1.0 .
#   docker run --rm --publish 8080:8080 --env GREETER_SECRET greeter:0.1.0
#
# To build from exactly these images again, put their digests behind the tags: --build-arg RUST=…@sha256:…
ARG RUST=rust:1.95-bookworm
ARG DEBIAN=debian:12-slim

FROM ${RUST} AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY protocol protocol
COPY actors actors
COPY agent agent
COPY client client
COPY service service
COPY src src
COPY benches benches
COPY fuzz fuzz
RUN cargo build --release --locked --package tripline-service --features server --example greeter

FROM ${DEBIAN}
RUN groupadd --system --gid 7444 service \
    && useradd --system --uid 7444 --gid 7444 --no-create-home --home-dir /nonexistent service
COPY --from=build /source/target/release/examples/greeter /usr/bin/greeter
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/greeter/

# Serverless hosts set it to what they want; with it the program listens on all addresses.
ENV PORT=8080
EXPOSE 8080
USER 7444:7444
STOPSIGNAL SIGTERM
ENTRYPOINT ["greeter"]
