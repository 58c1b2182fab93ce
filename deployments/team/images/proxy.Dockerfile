# Caddy, not as root, with the Caddyfile beside this file.
FROM caddy:2.11.7-alpine
RUN chown -R 1000:1000 /config /data
COPY deployments/team/images/Caddyfile /etc/caddy/Caddyfile
USER 1000:1000
