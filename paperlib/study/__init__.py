"""A study of one's own: pictures coded with saliency, votes on them, an example, and what SACID's own scores say."""
