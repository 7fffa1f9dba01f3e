"""Pictures of Services as text: Mermaid, DOT, HTML, JSON."""
