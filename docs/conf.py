"""Configure Sphinx, which makes the site of these pages; C{./run docs} calls it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for plain_pages

from txkombu._version import __version__

project = "txkombu"
release = version = __version__
copyright = "the txkombu authors"

extensions = ["plain_pages", "sphinx_copybutton"]
root_pages = {
    "CHANGELOG.rst": "project/changelog",
    "CONTRIBUTING.rst": "project/contributing",
    "SECURITY.rst": "project/security",
}
exclude_patterns = ["_static", "_pydoctor"]
highlight_language = (
    "text"  # of blocks after "::"; sessions are Python by their prompts
)
smartquotes = False  # the pages say what they mean

html_theme = "furo"
html_title = f"txkombu {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

# A button copies what one types: no prompts, and not what a program prints.
copybutton_selector = "div:not(.highlight-text):not(.highlight-output) > div > pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
