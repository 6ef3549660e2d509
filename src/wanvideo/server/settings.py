"""What the operator may set, from the environment or the command line; validated here and passed down."""

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from wanvideo.errors import InvalidRequest
from wanvideo.jobs.retention import Rules
from wanvideo.media.naming import USUAL, NameTemplate
from wanvideo.server.origins import host_name, is_loopback, is_origin
from wanvideo.server.webhooks import check_url, key_of, target_of

PREFIX: Final = "WANVIDEO_"
LEAST_TOKEN: Final = 22  # characters; 128 bits as base64

MIB: Final = 2**20
GIB: Final = 2**30

# Texts such as "a, b", as environment variables hold them.
Names = Annotated[tuple[str, ...], NoDecode]


class WorkerLimit(BaseModel):
    """What one worker is to be spared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ()  # that it takes; empty: all
    memory_gb: float | None = Field(default=None, ge=1, le=1024)  # of its GPU, at most


class Settings(BaseSettings):
    """Of one server. Environment variables have the prefix WANVIDEO_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- where -------------------------------------------------------------------------------------------------------
    host: str = "127.0.0.1"
    port: int = Field(default=9000, ge=0, le=65535)  # 0: any free one
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("wanvideo", appauthor=False) / "server")
    web_dir: Path = Path(__file__).with_name("static")  # of the web app, where its build puts it
    database: SecretStr | None = None  # postgresql://..., which may hold a password; None: SQLite in `data_dir`
    storage: str | None = None  # that several machines share: an absolute folder or s3://BUCKET/PREFIX
    outputs_dir: Path | None = None  # for finished videos; None: in `data_dir`
    name_template: str = USUAL  # of their files

    # --- who ---------------------------------------------------------------------------------------------------------
    token: SecretStr | None = None
    insecure: bool = False  # serve other computers without a token
    allowed_hosts: Names = ()  # further names, with or without a port, under which this server may be called
    compat_origin: Names = ()  # of another web client, such as http://localhost:3000, which gets CORS
    root_aliases: bool = False  # /queue, /outputs, /system and /prompt as well as /api/v1/...

    # --- what --------------------------------------------------------------------------------------------------------
    demo: bool = False  # the three model types mean the demo models
    fallback: Literal["auto", "demo", "off"] = "auto"
    # Devices that make a video together: so many for each worker, or all that are idle, shared by the jobs that wait.
    gpus_per_job: Literal["auto"] | Annotated[int, Field(ge=1, le=16)] = 1
    device: str = "auto"  # or several with commas: a worker for each; none: other machines do the work
    # Seconds that one of several devices may be behind others without going on; more where steps take long.
    rank_patience_seconds: float = Field(default=5.0, ge=1)
    worker_limits: dict[str, WorkerLimit] = Field(default_factory=dict)  # JSON, by the names of workers
    patience_seconds: float = Field(default=120.0, ge=0)  # that a job waits for others whose models are loaded; 0: none
    executor: Literal["process", "ray"] = "process"  # ray: one actor for each GPU of a Ray cluster
    embed_settings: bool = True  # files say what they were made with, unless a job says otherwise
    enhancer_url: str | None = None  # of an OpenAI-compatible server, such as http://localhost:11434/v1
    enhancer_model: str | None = None
    enhancer_key: SecretStr | None = None
    webhooks: Names = ()  # addresses that are told when a job has ended, perhaps with types of messages behind them
    webhook_allowed: Names = ()  # addresses that a request may name, to be told when its jobs have ended
    webhook_secret: SecretStr | None = None  # by which they know that it is this server
    webhook_secret_old: SecretStr | None = None  # signs too, until all of them know the new one

    # --- how much ----------------------------------------------------------------------------------------------------
    max_queued: int = Field(default=1000, ge=1)  # jobs that wait
    max_count: int = Field(default=64, ge=1)  # jobs of one submit
    max_json_bytes: int = Field(default=256 * 1024, ge=1024)
    max_image_bytes: int = Field(default=32 * MIB, ge=1024)
    max_batch_bytes: int = Field(default=256 * MIB, ge=1024)  # of several requests with their pictures
    max_video_bytes: int = Field(default=512 * MIB, ge=1024)  # to read its settings
    max_lora_bytes: int = Field(default=2 * GIB, ge=1024)
    max_prompt_bytes: int = Field(default=16 * 1024, ge=1)
    max_sockets: int = Field(default=2000, ge=1)
    min_free_bytes: int = Field(default=GIB, ge=0)  # of the disk, below which no job is taken
    keep_days: float | None = Field(default=None, gt=0)  # after which finished jobs go; None: never
    quota_bytes: int | None = Field(default=None, ge=0)  # of all videos, beyond which the oldest go; None: never
    keep_notice_hours: float = Field(default=24.0, ge=0)  # from the announcement to the removal
    input_days: float = Field(default=7.0, gt=0)  # that a picture without a job is kept
    body_seconds: float = Field(default=60.0, gt=0)  # for a request to arrive; uploads get longer, by their size
    lease_seconds: float = Field(default=30.0, ge=1)  # of silence, after which a machine's jobs are given to others
    drain_seconds: float = Field(default=10.0, gt=0)
    webhook_seconds: float = Field(default=5.0, gt=0)  # between the first two tries; four times as long each time

    @property
    def first_device(self) -> str:
        """What plans and reports of memory are about. A server without workers, and to which no others have come yet,
        plans as if it had them.
        """
        return "auto" if self.device == "none" else self.device.partition(",")[0].strip()

    @field_validator("allowed_hosts", "compat_origin", "webhooks", "webhook_allowed", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("compat_origin")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not is_origin(origin):
                raise ValueError(f"{origin!r:.100} is no origin: give one such as http://localhost:3000")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if host_name(host) is None:
                raise ValueError(f"{host!r:.100} is no name of a host: give one such as video.example.org")
        return value

    @field_validator("data_dir", "web_dir", "outputs_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("storage")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("/", "s3://")):
            raise ValueError(f"{value!r:.100} is no storage: give an absolute folder or s3://BUCKET/PREFIX")
        return value

    @field_validator("name_template")
    @classmethod
    def _names(cls, value: str) -> str:
        try:
            NameTemplate(value)
        except InvalidRequest as error:
            raise ValueError(error.message) from None
        return value

    @field_validator("webhooks")
    @classmethod
    def _told(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        targets = dict.fromkeys(value)
        urls = [target_of(text).url for text in targets]
        if twice := next((url for url in urls if urls.count(url) > 1), None):
            raise ValueError(f"{twice!r:.100} is a target of webhooks twice: give all its types at once")
        return tuple(targets)

    @field_validator("webhook_allowed")
    @classmethod
    def _may_be_told(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            check_url(url)
        return tuple(dict.fromkeys(value))

    @field_validator("webhook_secret", "webhook_secret_old")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            key_of(value.get_secret_value())
        return value

    @field_validator("token")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < LEAST_TOKEN:
            raise ValueError(
                f"a token has at least {LEAST_TOKEN} characters: python -c 'import secrets; "
                "print(secrets.token_urlsafe(32))' makes one"
            )
        return value

    @model_validator(mode="after")
    def _not_exposed(self) -> Self:
        """Other computers are served only those who know the token."""
        if not self.on_loopback and self.token is None and not self.insecure:
            raise ValueError(
                f"{self.host} can be reached from other computers, and there is no token: set {PREFIX}TOKEN, or "
                "--insecure if everybody who reaches it may use it"
            )
        if self.storage is not None and self.database is None:
            raise ValueError(f"machines that share a storage share a database, too: set {PREFIX}DATABASE")
        if self.executor == "ray" and self.database is None:
            raise ValueError(f"machines of a Ray cluster share a database and a storage: set {PREFIX}DATABASE")
        if (self.enhancer_url is None) != (self.enhancer_model is None):
            raise ValueError("an enhancer needs both its address and the name of its model")
        if (self.webhooks or self.webhook_allowed or self.webhook_secret_old) and self.webhook_secret is None:
            raise ValueError(f"webhooks are signed: set {PREFIX}WEBHOOK_SECRET to what their receivers know")
        return self

    @property
    def webhook_keys(self) -> list[bytes]:
        """That sign, the newest first."""
        secrets = (self.webhook_secret, self.webhook_secret_old)
        return [key_of(secret.get_secret_value()) for secret in secrets if secret is not None]

    @property
    def retention(self) -> Rules:
        return Rules(
            keep_days=self.keep_days, quota_bytes=self.quota_bytes, notice_seconds=self.keep_notice_hours * 3600
        )

    @property
    def here(self) -> str:
        """The device of this process's own workers."""
        return "none" if self.executor == "ray" else self.device

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """Where a browser on this computer finds the server."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return f"http://{self.host}:{self.port}"
        if address.is_unspecified:
            return f"http://localhost:{self.port}"
        return f"http://[{self.host}]:{self.port}" if address.version == 6 else f"http://{self.host}:{self.port}"

    @property
    def warnings(self) -> list[str]:
        """What the operator should know before anybody uses the server."""
        said = []
        if not self.on_loopback and self.token is None:
            said.append(f"{self.host} is open to other computers without a token: whoever reaches it may use it")
        if not self.on_loopback and self.token is not None:
            said.append("the token travels over http in the clear: put a proxy with TLS in front of the server")
        return said
