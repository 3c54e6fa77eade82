"""Options of every command that sends requests, beside its operation's parameters."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DEFAULTS = {"check": True}
"""Defaults of commands that are not those of the service."""


class Options(BaseModel):
    """Options of commands; each is declared, and none is built as a whole."""

    model_config = ConfigDict(defer_build=True)


class RequestOptions(Options):
    """Options of every command that sends requests."""

    version: Annotated[
        int | None, Field(ge=1, description="Version of the model; absent: the highest.")
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, description="Largest number of items in one request.")
    ] = 32
    strict: Annotated[
        bool | None,
        Field(
            description="Stop at the first input that cannot be read, and write nothing; else the "
            "others are written, and the exit code is 1."
        ),
    ] = None
    as_json: Annotated[
        bool | None,
        Field(alias="json", description="Print the answer on standard output as JSON, as the API."),
    ] = None
    quiet: Annotated[
        bool | None,
        Field(description="Print no progress, warnings or notes, only results and failures."),
    ] = None


class TableOptions(Options):
    """Options of a command whose answer is a table of scores, with a row for each item."""

    full: Annotated[
        bool | None,
        Field(description="Print every column as CSV on a terminal too, instead of a short table."),
    ] = None
    sort: Annotated[
        str | None,
        Field(
            description="Column to sort the rows by, such as percentile: low ones first, or high "
            "ones with -percentile. What has no value comes last."
        ),
    ] = None
    top: Annotated[
        int | None, Field(ge=1, description="Rows to keep, the first ones after sorting.")
    ] = None


class StreamOptions(Options):
    """Options of a command whose answer may come line by line."""

    stream: Annotated[
        bool | None,
        Field(
            description="Print running estimates on standard output as they come, a line of JSON "
            "for each, and the answer as JSON at the end."
        ),
    ] = None


class AlarmOptions(Options):
    """Options of the command that raises alarms."""

    move_to: Annotated[
        str | None,
        Field(
            description="Folder to move the files of anomalous pictures to; none is overwritten."
        ),
    ] = None
    fail_on_anomaly: Annotated[
        bool | None, Field(description="Exit with 3 where a picture is anomalous.")
    ] = None
