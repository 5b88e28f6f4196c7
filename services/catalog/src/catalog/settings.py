"""Settings of the catalog and the site, from `CATALOG_...` in the environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shipjury_delivery import ServiceSettings


class Settings(ServiceSettings):
    """What the catalog can be told."""

    model_config = SettingsConfigDict(
        env_prefix="CATALOG_", frozen=True, extra="ignore", use_attribute_docstrings=True, env_ignore_empty=True
    )

    site_url: str = Field(
        default="",
        description="Public address of the site, such as `https://shipjury.example`, for feeds, the site map and "
        "canonical links; empty: the address that the reader asked for.",
    )
    minimum_votes: int = Field(
        default=10, ge=1, description="Community votes from which on a share is shown; below, pages say “— Community”."
    )
    page_cache: int = Field(default=512, ge=0, description="Rendered pages kept in memory by each API process.")
    template_reload: bool = Field(default=False, description="Read templates again at each request, for development.")
