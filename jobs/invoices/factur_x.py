"""The marks by which programs find the invoice inside a PDF: the XMP properties of Factur-X and their own schema."""

from __future__ import annotations

import io

from lxml import etree
from pypdf import PdfReader
from pypdf.generic import IndirectObject, StreamObject

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
FX = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
EXTENSION = "http://www.aiim.org/pdfa/ns/extension/"
SCHEMA = "http://www.aiim.org/pdfa/ns/schema#"
PROPERTY = "http://www.aiim.org/pdfa/ns/property#"
MARKS = {
    "DocumentFileName": ("factur-x.xml", "the name of the embedded XML"),
    "DocumentType": ("INVOICE", "what the hybrid document is; INVOICE for credit notes too"),
    "Version": ("1.0", "the version of the standard that the XML keeps to"),
    "ConformanceLevel": ("EN 16931", "the profile that the XML keeps to"),
}
"""Factur-X 1.0, 6.2.2: each property, its value, and what it means."""


def mark_as_factur_x(pdf: bytes) -> bytes:
    """Return the PDF/A-3 with the marks added to its own metadata; all else stays as it was drawn.

    The metadata is said anew behind the end of what was drawn (ISO 32000-1, 7.5.6), which is not written out again:
    that would take longer than it took to draw.
    """
    metadata = PdfReader(io.BytesIO(pdf)).root_object.raw_get("/Metadata")
    assert isinstance(metadata, IndirectObject), "PDF/A has its metadata in a stream"
    stream = metadata.get_object()
    assert isinstance(stream, StreamObject), "PDF/A has its metadata in a stream"
    xmp = _with_marks(stream.get_data())
    start, _, end = pdf[pdf.rindex(b"trailer") :].partition(b"startxref")
    trailer, before = start.rstrip().removesuffix(b">>"), int(end.split()[0])
    drawn = pdf.rstrip() + b"\n"
    said = b"%d 0 obj\n<</Type/Metadata/Subtype/XML/Length %d>>\nstream\n%s\nendstream\nendobj\n"
    said = said % (metadata.idnum, len(xmp), xmp)
    place = b"xref\n%d 1\n%010d 00000 n\r\n%s/Prev %d>>\nstartxref\n%d\n%%%%EOF\n"
    return drawn + said + place % (metadata.idnum, len(drawn), trailer, before, len(drawn) + len(said))


def _with_marks(xmp: bytes) -> bytes:
    root = etree.fromstring(xmp, etree.XMLParser(resolve_entities=False, no_network=True))
    descriptions = root.find(f".//{{{RDF}}}RDF")
    assert descriptions is not None, "metadata is RDF"
    descriptions.append(_extension_schema())
    marks = etree.SubElement(descriptions, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""}, nsmap={"fx": FX})
    for name, (value, _) in MARKS.items():
        etree.SubElement(marks, f"{{{FX}}}{name}").text = value
    body: bytes = etree.tostring(root, encoding="utf-8")
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + body + b'\n<?xpacket end="w"?>'


def _extension_schema() -> etree._Element:
    """PDF/A allows only properties that it knows or that the file describes (ISO 19005-3, 6.6.2.3.3)."""
    names = {"rdf": RDF, "pdfaExtension": EXTENSION, "pdfaSchema": SCHEMA, "pdfaProperty": PROPERTY}
    description = etree.Element(f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""}, nsmap=names)
    bag = etree.SubElement(etree.SubElement(description, f"{{{EXTENSION}}}schemas"), f"{{{RDF}}}Bag")
    schema = _resource(bag, SCHEMA, {"schema": "Factur-X PDFA Extension Schema", "namespaceURI": FX, "prefix": "fx"})
    properties = etree.SubElement(etree.SubElement(schema, f"{{{SCHEMA}}}property"), f"{{{RDF}}}Seq")
    for name, (_, meaning) in MARKS.items():
        told = {"name": name, "valueType": "Text", "category": "external", "description": meaning}
        _resource(properties, PROPERTY, told)
    return description


def _resource(parent: etree._Element, namespace: str, told: dict[str, str]) -> etree._Element:
    item = etree.SubElement(parent, f"{{{RDF}}}li", {f"{{{RDF}}}parseType": "Resource"})
    for name, text in told.items():
        etree.SubElement(item, f"{{{namespace}}}{name}").text = text
    return item
