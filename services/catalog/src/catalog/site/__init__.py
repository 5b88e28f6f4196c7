"""The site: what pages show, in data (``dossier``, ``compare``), and how they are drawn (``render``, templates)."""
