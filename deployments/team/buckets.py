"""Makes the buckets of a team's storage: `python -m deployments.team.buckets NAME…`. Those that are there are left as they are."""

import sys

import boto3
from botocore.exceptions import ClientError


def make_buckets(names: list[str]) -> None:
    """Makes each bucket that is not there, at AWS_ENDPOINT_URL, with the keys of the environment."""
    client = boto3.client("s3")
    for name in names:
        try:
            client.head_bucket(Bucket=name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.create_bucket(Bucket=name)


if __name__ == "__main__":
    make_buckets(sys.argv[1:])
