"""Sections of a card that later versions of a bundle write anew."""


def with_section(card: str, section: str) -> str:
    """A card with a section in place of the one of the same title, or else at its end.

    Args:
        card: Markdown.
        section: Markdown that begins with its title, `## ...`.
    """
    section = section.strip()
    title = section.partition("\n")[0]
    before, _, after = f"{card}\n".partition(f"\n{title}\n")
    start = after.find("\n## ")
    rest = after[start:].strip() if start >= 0 else ""
    return "\n\n".join(part for part in (before.rstrip(), section, rest) if part) + "\n"
