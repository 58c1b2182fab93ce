#!/bin/sh
# Runs once, when PostgreSQL starts with an empty volume: a database for each program, and a user who owns it and sees no other.
set -eu
for name in prefect mlflow feedback; do
    case "$name" in
        prefect) password=$PREFECT_DB_PASSWORD ;;
        mlflow) password=$MLFLOW_DB_PASSWORD ;;
        feedback) password=$FEEDBACK_DB_PASSWORD ;;
    esac
    # the password goes over standard input, where no list of processes shows it
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --set "name=$name" <<SQL
\\set password '$(printf %s "$password" | sed "s/[\\\\']/\\\\&/g")'
CREATE USER :"name" PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
