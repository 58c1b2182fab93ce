# SeaweedFS (Apache-2.0), not as root.
FROM chrislusf/seaweedfs:4.47
RUN mkdir -p /data && chown -R 1000:1000 /data
USER 1000:1000
ENTRYPOINT ["weed"]
