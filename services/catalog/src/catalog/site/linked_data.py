"""schema.org data for search engines: what the page says, and nothing that it does not."""

from typing import Any

from .compare import Page
from .dossier import Dossier


def of_tool(one: Dossier, base: str) -> dict[str, Any]:
    """A tool as a SoftwareApplication, with the panel's review where there is a score."""
    tool = one.record.tool
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "SoftwareApplication",
        "name": tool.name,
        "description": tool.tagline,
        "applicationCategory": tool.category,
        "url": f"{base}/tools/{tool.slug}",
        "author": {"@type": "Organization", "name": tool.vendor},
        "dateModified": one.record.published_at.isoformat(),
    }
    if tool.website:
        data["sameAs"] = tool.website
    if one.verdict and one.verdict.score is not None:
        data["review"] = {
            "@type": "Review",
            "name": f"Panel verdict: {one.verdict.verdict}",
            "author": {"@type": "Organization", "name": "Shipjury panel of AI reviewers"},
            "datePublished": one.verdict.issued_at.isoformat(),
            "reviewRating": {
                "@type": "Rating",
                "ratingValue": round(one.verdict.score, 1),
                "bestRating": 100,
                "worstRating": 0,
            },
        }
    return data


def of_pair(page: Page, address: str) -> dict[str, Any]:
    """A comparison as a WebPage about two tools."""
    return {
        "@context": "https://schema.org",
        "@type": "WebPage",
        "name": f"{page.a.name} vs {page.b.name}",
        "url": address,
        "about": [{"@type": "SoftwareApplication", "name": one.name} for one in (page.a, page.b)],
    }
